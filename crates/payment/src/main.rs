//! The payment service on its own.

use std::process::ExitCode;

use payment::bootstrap;
use payment::settings::Settings;
use service_kit::lone::{self, LoneService};

fn main() -> ExitCode {
    let service = LoneService {
        name: "payment",
        about: "payment ledger and providers",
        grpc_port: Some(50054),
        needs: &["users"],
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
