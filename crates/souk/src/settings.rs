//! The settings of all services in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use service_kit::process::{Environment, ProcessSettings};
use service_kit::settings::{Effective, SettingsError, Source};
use sqlite::SqliteUrl;

use crate::cli::{Places, UpOptions};

/// The data folder when nobody names one.
pub(crate) const DEFAULT_DATA_DIR: &str = "souk-data";

/// Everything `souk up` is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) process: ProcessSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) internal_address: SocketAddr,
    pub(crate) broker_url: String,
    pub(crate) gateway: gateway::settings::Settings,
    pub(crate) users: users::settings::Settings,
    pub(crate) orders: orders::settings::Settings,
    pub(crate) inventory: inventory::settings::Settings,
    pub(crate) payment: payment::settings::Settings,
    pub(crate) notification: notification::settings::Settings,
}

impl Settings {
    /// Reads file, environment and options.
    pub(crate) fn load(options: &UpOptions) -> Result<(Self, Vec<Effective>), SettingsError> {
        let mut source = Source::of_process(options.places.config.as_deref());
        if let Some(folder) = &options.places.data_dir {
            source.override_with("SOUK_DATA_DIR", folder.to_string_lossy());
        }
        if let Some(port) = options.internal_port {
            source.override_with("SOUK_INTERNAL_ADDR", format!("127.0.0.1:{port}"));
        }
        let data_dir: PathBuf = source.or("SOUK_DATA_DIR", DEFAULT_DATA_DIR, "folder of all stores");
        let process = ProcessSettings::load(&mut source, Environment::Development);
        let internal_address = source.or(
            "SOUK_INTERNAL_ADDR",
            "127.0.0.1:9090",
            "health, metrics and administration; for operators alone",
        );
        let broker_url = source.or("SOUK_BROKER_URL", &store(&data_dir, "broker"), "the event bus");
        let gateway = gateway::settings::Settings::load(&mut source, "127.0.0.1:8080");
        let url = |name| store(&data_dir, name);
        source.default_for("SOUK_NOTIFICATION_EMAIL_URL", format!("file://{}", data_dir.join("mail").display()));
        let mut settings = Self {
            process,
            internal_address,
            broker_url,
            gateway,
            users: users::settings::Settings::load(&mut source, Some(&url("users"))),
            orders: orders::settings::Settings::load(&mut source, Some(&url("orders"))),
            inventory: inventory::settings::Settings::load(&mut source, Some(&url("inventory"))),
            payment: payment::settings::Settings::load(&mut source, Some(&url("payment"))),
            notification: notification::settings::Settings::load(&mut source, Some(&url("notification"))),
            data_dir,
        };
        // An option names only half of the address; the other half stays as it was set.
        if let Some(host) = options.host {
            settings.gateway.address.set_ip(host);
        }
        if let Some(port) = options.port {
            settings.gateway.address.set_port(port);
        }
        for (key, url) in [
            ("SOUK_BROKER_URL", &settings.broker_url),
            ("SOUK_USERS_DATABASE_URL", &settings.users.database_url),
            ("SOUK_ORDERS_DATABASE_URL", &settings.orders.database_url),
            ("SOUK_INVENTORY_DATABASE_URL", &settings.inventory.database_url),
            ("SOUK_PAYMENT_DATABASE_URL", &settings.payment.database_url),
            ("SOUK_NOTIFICATION_DATABASE_URL", &settings.notification.database_url),
        ] {
            check_engine(&mut source, key, url);
        }
        source.finish().map(|effective| (settings, effective))
    }
}

/// The schemes that this build has a driver for.
fn engines(key: &str) -> &'static [&'static str] {
    match key {
        "SOUK_BROKER_URL" if cfg!(feature = "amqp") => &["sqlite", "amqp"],
        "SOUK_ORDERS_DATABASE_URL" | "SOUK_PAYMENT_DATABASE_URL" if cfg!(feature = "postgres") => {
            &["sqlite", "postgres", "postgresql"]
        }
        "SOUK_USERS_DATABASE_URL" | "SOUK_NOTIFICATION_DATABASE_URL" if cfg!(feature = "mongodb") => {
            &["sqlite", "mongodb"]
        }
        "SOUK_INVENTORY_DATABASE_URL" if cfg!(feature = "redis") => &["sqlite", "redis"],
        _ => &["sqlite"],
    }
}

/// Tells at once of an engine that this build lacks, before anything is made or opened.
pub(crate) fn check_engine(source: &mut Source, key: &str, url: &str) {
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    let engines = engines(key);
    if !engines.contains(&scheme) {
        let has = engines.join("://, ");
        source.problem(key, &format!("names {scheme}://, which this build has no driver for; it has {has}://"));
    } else if scheme == "sqlite" && url.parse::<SqliteUrl>().is_err() {
        source.problem(key, &format!("'{url}' names no file: write sqlite://<file>"));
    }
}

fn store(data_dir: &Path, name: &str) -> String {
    format!("sqlite://{}", data_dir.join(format!("{name}.db")).display())
}

/// The options of an instance that nobody but this process should meet.
pub(crate) fn private_instance(places: Places) -> UpOptions {
    UpOptions {
        host: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: Some(0),
        internal_port: Some(0),
        seed: true,
        allow_demo_accounts: true,
        ..UpOptions::at(places)
    }
}
