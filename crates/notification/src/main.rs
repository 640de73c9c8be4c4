//! The notification service on its own.

use std::process::ExitCode;

use notification::bootstrap;
use notification::settings::Settings;
use service_kit::lone::{self, LoneService};

fn main() -> ExitCode {
    let service = LoneService {
        name: "notification",
        about: "per-user inbox, notifications and email",
        grpc_port: Some(50055),
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
