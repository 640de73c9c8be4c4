//! What `souk up` tells whoever started it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::assembly::Souk;
use crate::distributed::Plan;
use crate::seed::{ACCOUNTS, PASSWORD};
use crate::settings::Settings;

/// Prints where everything is, on standard output.
pub(crate) fn print(souk: &Souk, settings: &Settings, seeded: bool, started_in: Duration) {
    let (gateway, internal) = (souk.gateway, souk.internal);
    let mut out = String::new();
    out.push('\n');
    let _ = writeln!(out, "  Souk is serving ({} ms to start)", started_in.as_millis());
    out.push('\n');
    let _ = writeln!(out, "  API         http://{gateway}/api");
    let _ = writeln!(out, "  Docs        http://{gateway}/docs         (OpenAPI: http://{gateway}/openapi.json)");
    let _ = writeln!(out, "  Live events http://{gateway}/events       (server-sent events of the signed-in user)");
    let _ = writeln!(out, "  Health      http://{gateway}/health/ready");
    let _ = writeln!(out, "  Metrics     http://{internal}/metrics     (internal port)");
    let _ = writeln!(out, "  Data        {}", settings.data_dir.display());
    out.push('\n');
    invite(&mut out, gateway, seeded);
    show(&out);
}

/// The same for six processes.
pub(crate) fn print_distributed(
    plan: &Plan,
    running: &[(String, u32, SocketAddr)],
    seeded: bool,
    started_in: Duration,
) {
    let mut out = String::new();
    out.push('\n');
    let _ = writeln!(out, "  Souk is serving in {} processes ({} ms to start)", running.len(), started_in.as_millis());
    out.push('\n');
    for gateway in &plan.gateways {
        let _ = writeln!(out, "  API         http://{gateway}/api         (docs: http://{gateway}/docs)");
    }
    let _ = writeln!(out, "  Health      http://{}/health/ready   (all processes; internal port)", plan.internal);
    let _ = writeln!(out, "  Data        {}         (emails)", plan.data_dir.display());
    out.push('\n');
    let _ = writeln!(out, "  {:<16} {:>8}  health, metrics, log level", "process", "pid");
    for (name, pid, internal) in running {
        let _ = writeln!(out, "  {name:<16} {pid:>8}  http://{internal}/");
    }
    out.push('\n');
    if let Some(gateway) = plan.gateways.first() {
        invite(&mut out, *gateway, seeded);
    }
    show(&out);
}

/// In one piece. Whoever closed standard output does not want to know.
fn show(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn invite(out: &mut String, gateway: SocketAddr, seeded: bool) {
    if seeded {
        let _ = writeln!(out, "  Log in with password {PASSWORD} as");
        for account in ACCOUNTS {
            let _ = writeln!(out, "    {:<18} {}", account.email, account.about);
        }
    } else {
        let _ = writeln!(out, "  No demo data yet? In another terminal: souk seed");
    }
    out.push('\n');
    let _ = writeln!(out, "  Try it:     souk demo --url http://{gateway}");
    let _ = writeln!(out, "  Stop:       Ctrl-C");
    out.push('\n');
}
