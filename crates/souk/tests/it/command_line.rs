//! What the commands say when they are not given rightly.

use std::net::TcpListener;

use tempfile::TempDir;

use crate::process::{Souk, souk};

fn refused(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    told
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_who_uses_it() {
    let folder = TempDir::new().unwrap();
    let instance = Souk::start(folder.path()).await;
    let told = refused(souk().args(["up", "--port", "0", "--internal-port", "0", "--data-dir"]).arg(folder.path()));
    assert!(told.contains("in use") && told.contains(&instance.gateway.to_string()), "{told}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (public, internal) in [(port.as_str(), "0"), ("0", port.as_str())] {
        let args = ["up", "--port", public, "--internal-port", internal, "--data-dir"];
        let told = refused(souk().args(args).arg(folder.path()));
        assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("port another one"), "{told}");
    }
    assert!(!folder.path().join("users.db").exists(), "it was found out before anything was made");
}

#[test]
fn unknown_settings_and_engines_that_are_not_there_are_refused() {
    let folder = TempDir::new().unwrap();
    let up = || {
        let mut command = souk();
        command.args(["up", "--port", "0", "--internal-port", "0", "--data-dir"]).arg(folder.path());
        command
    };
    let told = refused(up().env("SOUK_GATEWAY_ADR", "x").env("SOUK_LOG", "loud"));
    assert!(told.contains("did you mean SOUK_GATEWAY_ADDR") && told.contains("'loud'"), "{told}");
    let of_other_builds = [
        (cfg!(feature = "amqp"), "SOUK_BROKER_URL", "amqp://localhost"),
        (cfg!(feature = "postgres"), "SOUK_ORDERS_DATABASE_URL", "postgres://u:hunter2@localhost/orders"),
        (cfg!(feature = "redis"), "SOUK_INVENTORY_DATABASE_URL", "redis://localhost"),
        (cfg!(feature = "mongodb"), "SOUK_USERS_DATABASE_URL", "mongodb://localhost"),
        (cfg!(feature = "postgres"), "SOUK_PAYMENT_DATABASE_URL", "postgres://localhost/payment"),
        (cfg!(feature = "mongodb"), "SOUK_NOTIFICATION_DATABASE_URL", "mongodb://localhost"),
    ];
    let of_no_build = [
        ("SOUK_BROKER_URL", "kafka://localhost"),
        ("SOUK_ORDERS_DATABASE_URL", "mysql://u:hunter2@localhost/orders"),
        ("SOUK_INVENTORY_DATABASE_URL", "postgres://localhost"),
        ("SOUK_USERS_DATABASE_URL", "redis://localhost"),
        ("SOUK_ORDERS_DATABASE_URL", "sqlite://"),
    ];
    let absent = of_other_builds.into_iter().filter(|(there, ..)| !there).map(|(_, key, url)| (key, url));
    for (key, url) in absent.chain(of_no_build) {
        let output = up().env(key, url).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let scheme = url.split("://").next().unwrap();
        assert!(!output.status.success() && told.contains(key) && told.contains(scheme), "{key}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let unknown = if cfg!(feature = "redis") { "nats" } else { "redis" };
    let output = up().env("SOUK_REALTIME_URL", format!("{unknown}://:hunter2@localhost")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("SOUK_REALTIME_URL") && told.contains(unknown) && !told.contains("hunter2"), "{told}");
}

#[test]
fn demo_accounts_are_not_served_to_other_machines_unless_that_is_meant() {
    let folder = TempDir::new().unwrap();
    let args = ["up", "--seed", "--host", "0.0.0.0", "--port", "0", "--internal-port", "0", "--data-dir"];
    let told = refused(souk().args(args).arg(folder.path()));
    assert!(told.contains("--allow-demo-accounts"), "{told}");
    assert!(!folder.path().join("users.db").exists(), "nothing was made that would have to be refused again");
}

#[test]
fn config_tells_what_holds_and_where_it_came_from() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("souk.toml");
    std::fs::write(&file, "log = \"debug\"\n[gateway]\naddr = \"127.0.0.1:9999\"\n").unwrap();
    let output = souk().env("SOUK_LOG", "warn").args(["config", "--config"]).arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |key: &str| told.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("SOUK_LOG ").contains("warn") && line("SOUK_LOG ").contains("environment"), "{told}");
    assert!(line("SOUK_GATEWAY_ADDR").contains("9999") && line("SOUK_GATEWAY_ADDR").contains("souk.toml"), "{told}");
    assert!(line("SOUK_BROKER_URL").ends_with("default"), "{told}");
}

#[test]
fn processes_want_engines_that_they_can_share() {
    let folder = TempDir::new().unwrap();
    let up = || {
        let mut command = souk();
        command.args(["up", "--distributed", "--free-ports", "--data-dir"]).arg(folder.path());
        command.env("SOUK_BROKER_URL", "amqp://localhost").env("SOUK_USERS_DATABASE_URL", "mongodb://localhost/users");
        command
    };
    let told = refused(&mut up());
    for missing in ["SOUK_ORDERS_DATABASE_URL", "SOUK_INVENTORY_DATABASE_URL", "SOUK_NOTIFICATION_DATABASE_URL"] {
        assert!(told.contains(missing), "{told}");
    }
    assert!(!told.contains("SOUK_USERS_DATABASE_URL") && told.contains("scripts/backends run"), "{told}");
    let told = refused(
        up().env("SOUK_BROKER_URL", "sqlite://broker.db")
            .env("SOUK_ORDERS_DATABASE_URL", "postgres://localhost/orders")
            .env("SOUK_PAYMENT_DATABASE_URL", "postgres://localhost/payment")
            .env("SOUK_INVENTORY_DATABASE_URL", "redis://localhost")
            .env("SOUK_NOTIFICATION_DATABASE_URL", "mongodb://localhost/notification"),
    );
    assert!(told.contains("SOUK_BROKER_URL") && told.contains("can't share"), "{told}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}
