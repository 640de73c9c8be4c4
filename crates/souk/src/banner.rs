//! What `souk up` tells whoever started it.

use std::time::Duration;

use crate::assembly::Souk;
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
