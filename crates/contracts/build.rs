//! Compiles `proto/souk/*/v1/*.proto` with a Rust compiler for protobuf, so that no `protoc` need be installed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = [
        "souk/types/v1/money.proto",
        "souk/inventory/v1/inventory.proto",
        "souk/notification/v1/notification.proto",
        "souk/orders/v1/orders.proto",
        "souk/payment/v1/payment.proto",
        "souk/users/v1/users.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(files, [&root])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
