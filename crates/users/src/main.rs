//! The users service on its own.

use std::process::ExitCode;

use service_kit::lone::{self, LoneService};
use users::bootstrap;
use users::settings::Settings;

fn main() -> ExitCode {
    let service =
        LoneService { name: "users", about: "accounts, tokens and signing keys", grpc_port: Some(50051), needs: &[] };
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
