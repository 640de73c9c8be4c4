//! The orders service on its own.

use std::process::ExitCode;

use orders::bootstrap;
use orders::settings::Settings;
use service_kit::lone::{self, LoneService};

fn main() -> ExitCode {
    let service = LoneService {
        name: "orders",
        about: "orders and the checkout saga",
        grpc_port: Some(50052),
        needs: &["users", "inventory", "payment"],
    };
    lone::main(
        service,
        |source| Settings::load(source, None),
        |settings, lone| async move {
            let bus = messaging::connect(&lone.broker_url, lone.platform.clock.clone()).await?;
            lone.startup.watch(messaging::broker_check(&bus));
            let service = bootstrap::build(&settings, &lone.platform, bus).await?;
            lone.serve(service).await
        },
    )
}
