//! What `souk up` tells whoever started it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::assembly::Souk;
use crate::distributed::Plan;
use crate::seed::{ACCOUNTS, PASSWORD};
use crate::settings::Settings;

/// Prints where everything is, on standard output.
pub(crate) fn print(souk: &Souk, settings: &Settings, seeded: bool, started_in: Duration) {
    let (gateway, internal) = (souk.gateway, souk.internal);
    println!();
    println!("  Souk is serving ({} ms to start)", started_in.as_millis());
    println!();
    println!("  API         http://{gateway}/api");
    println!("  Docs        http://{gateway}/docs         (OpenAPI: http://{gateway}/openapi.json)");
    println!("  Live events http://{gateway}/events       (server-sent events of the signed-in user)");
    println!("  Health      http://{gateway}/health/ready");
    println!("  Metrics     http://{internal}/metrics     (internal port)");
    println!("  Data        {}", settings.data_dir.display());
    println!();
    invite(gateway, seeded);
}

/// The same for six processes.
pub(crate) fn print_distributed(
    plan: &Plan,
    running: &[(String, u32, SocketAddr)],
    seeded: bool,
    started_in: Duration,
) {
    println!();
    println!("  Souk is serving in {} processes ({} ms to start)", running.len(), started_in.as_millis());
    println!();
    for gateway in &plan.gateways {
        println!("  API         http://{gateway}/api         (docs: http://{gateway}/docs)");
    }
    println!("  Health      http://{}/health/ready   (all processes; internal port)", plan.internal);
    println!("  Data        {}         (emails, books of the sandbox provider)", plan.data_dir.display());
    println!();
    println!("  {:<16} {:>8}  health, metrics, log level", "process", "pid");
    for (name, pid, internal) in running {
        println!("  {name:<16} {pid:>8}  http://{internal}/");
    }
    println!();
    if let Some(gateway) = plan.gateways.first() {
        invite(*gateway, seeded);
    }
}

fn invite(gateway: SocketAddr, seeded: bool) {
    if seeded {
        println!("  Log in with password {PASSWORD} as");
        for account in ACCOUNTS {
            println!("    {:<18} {}", account.email, account.about);
        }
    } else {
        println!("  No demo data yet? In another terminal: souk seed");
    }
    println!();
    println!("  Try it:     souk demo --url http://{gateway}");
    println!("  Stop:       Ctrl-C");
    println!();
}
