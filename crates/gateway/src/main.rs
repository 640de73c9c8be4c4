//! The gateway on its own.

use std::process::ExitCode;

use gateway::bootstrap;
use gateway::settings::Settings;
use service_kit::lone::{self, LoneService};

fn main() -> ExitCode {
    let service = LoneService {
        name: "gateway",
        about: "HTTP edge: REST, OpenAPI, live events",
        grpc_port: None,
        needs: &["users", "orders", "inventory", "payment", "notification"],
    };
    lone::main(
        service,
        |source| Settings::load(source, "0.0.0.0:8080"),
        |settings, lone| async move {
            let bus = messaging::connect(&lone.broker_url, lone.platform.clock.clone()).await?;
            lone.startup.watch(messaging::broker_check(&bus));
            let gateway = bootstrap::build(&settings, &lone.platform, bus, lone.health.clone()).await?;
            tracing::info!(http = %gateway.address, "serving");
            let longest = gateway.drain.longest();
            lone.serve_http(gateway.server, (gateway.drain.run(), longest), gateway.tasks, gateway.checks).await
        },
    )
}
