//! The inventory service on its own.

use std::process::ExitCode;

use inventory::bootstrap;
use inventory::settings::Settings;
use service_kit::lone::{self, LoneService};

fn main() -> ExitCode {
    let service = LoneService {
        name: "inventory",
        about: "catalogue, stock and reservations",
        grpc_port: Some(50053),
        needs: &["users", "orders"],
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
