//! Compiles `proto/souk/*/v1/*.proto` with a Rust compiler for protobuf, so that no `protoc` need be installed.

use std::path::PathBuf;

use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = [
        "souk/types/v1/money.proto",
        "souk/inventory/v1/inventory.proto",
        "souk/notification/v1/chat.proto",
        "souk/notification/v1/notification.proto",
        "souk/orders/v1/orders.proto",
        "souk/payment/v1/payment.proto",
        "souk/users/v1/users.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("repeatable.rs"), repeatable(&descriptors))?;
    std::fs::write(out.join("methods.rs"), methods(&descriptors))?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

/// A function that says which calls may be sent twice: what the .proto files mark with `idempotency_level`.
fn repeatable(descriptors: &FileDescriptorSet) -> String {
    let mut paths = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let level = method.options.as_ref().map(MethodOptions::idempotency_level);
                let marked = matches!(level, Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent));
                if marked && !method.client_streaming() && !method.server_streaming() {
                    paths.push(format!("{:?}", format!("/{}.{}/{}", file.package(), service.name(), method.name())));
                }
            }
        }
    }
    format!("pub(super) fn marked(path: &str) -> bool {{ matches!(path, {}) }}", paths.join(" | "))
}

/// A function that knows every call there is.
fn methods(descriptors: &FileDescriptorSet) -> String {
    let mut arms = String::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                arms.extend([format!("{path:?} => Some({path:?}), ")]);
            }
        }
    }
    format!("pub(super) fn find(path: &str) -> Option<&'static str> {{ match path {{ {arms} _ => None }} }}")
}
