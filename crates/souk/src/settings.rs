//! The settings of all services in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use service_kit::process::{Environment, ProcessSettings};
use service_kit::settings::{Effective, SettingsError, Source};

use crate::cli::{Places, UpOptions};

/// The data folder when nobody names one.
const DEFAULT_DATA_DIR: &str = "souk-data";

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
        source.finish().map(|effective| (settings, effective))
    }
}

fn store(data_dir: &Path, name: &str) -> String {
    format!("sqlite://{}", data_dir.join(format!("{name}.db")).display())
}

/// The options of an instance that nobody but this process should meet.
pub(crate) fn private_instance(places: Places) -> UpOptions {
    UpOptions {
        places,
        host: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: Some(0),
        internal_port: Some(0),
        seed: true,
        allow_demo_accounts: true,
    }
}
