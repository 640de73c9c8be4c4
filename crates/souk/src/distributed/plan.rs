//! What runs where.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::process::{Environment, ProcessSettings};
use service_kit::settings::Source;

use crate::UsageError;
use crate::cli::UpOptions;
use crate::settings::{DEFAULT_DATA_DIR, check_engine};

/// A service: its name, its gRPC and internal port by default, and whom it calls.
struct Role {
    name: &'static str,
    grpc_port: Option<u16>,
    internal_port: u16,
    needs: &'static [&'static str],
}

/// In the order they are started.
const ROLES: [Role; 6] = [
    Role { name: "users", grpc_port: Some(50051), internal_port: 9091, needs: &[] },
    Role { name: "inventory", grpc_port: Some(50053), internal_port: 9093, needs: &["users", "orders"] },
    Role { name: "payment", grpc_port: Some(50054), internal_port: 9094, needs: &["users"] },
    Role { name: "notification", grpc_port: Some(50055), internal_port: 9095, needs: &["users"] },
    Role { name: "orders", grpc_port: Some(50052), internal_port: 9092, needs: &["users", "inventory", "payment"] },
    Role {
        name: "gateway",
        grpc_port: None,
        internal_port: 9096,
        needs: &["users", "orders", "inventory", "payment", "notification"],
    },
];
/// From the ports of one instance to those of the next.
const INSTANCE_STEP: u16 = 10;
/// What must be said, because processes can't share a file.
const ENGINES: [&str; 6] = [
    "SOUK_BROKER_URL",
    "SOUK_USERS_DATABASE_URL",
    "SOUK_ORDERS_DATABASE_URL",
    "SOUK_INVENTORY_DATABASE_URL",
    "SOUK_PAYMENT_DATABASE_URL",
    "SOUK_NOTIFICATION_DATABASE_URL",
];
/// What connects the gateways.
const REALTIME: &str = "SOUK_REALTIME_URL";
/// How to get engines.
const HINT: &str =
    "`make distributed`, or `scripts/backends run --services -- souk up --distributed`, starts engines and names them";

/// One process to run.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) service: &'static str,
    /// `orders`, or `orders-2` for a second instance.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) internal: SocketAddr,
    grpc: Option<SocketAddr>,
}

/// All processes, and what they share.
pub(crate) struct Plan {
    pub(crate) process: ProcessSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) internal: SocketAddr,
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) secret: SecretString,
    pub(crate) processes: Vec<Wanted>,
}

impl Plan {
    /// Reads file, environment and options; finds the programs and the ports.
    ///
    /// # Errors
    /// [`UsageError`], or the settings' own.
    pub(crate) fn make(options: &UpOptions) -> anyhow::Result<Self> {
        let mut source = Source::of_process(options.places.config.as_deref());
        if let Some(folder) = &options.places.data_dir {
            source.override_with("SOUK_DATA_DIR", folder.to_string_lossy());
        }
        if let Some(port) = options.internal_port {
            source.override_with("SOUK_INTERNAL_ADDR", format!("127.0.0.1:{port}"));
        }
        let given = source.values();
        check_engines(&given, options.instances)?;
        for key in ENGINES {
            check_engine(&mut source, key, &given[key]);
        }
        let data_dir: PathBuf = source.or("SOUK_DATA_DIR", DEFAULT_DATA_DIR, "folder of what is in no engine");
        let process = ProcessSettings::load(&mut source, Environment::Development);
        let any_port = |port: u16| if options.free_ports { 0 } else { port };
        let internal = loopback(&mut source, "SOUK_INTERNAL_ADDR", any_port(9090), "health of all processes");
        let _: String = source.required("SOUK_BROKER_URL", "the event bus");
        let secret =
            source.secret("SOUK_SERVICE_SECRET", "signs the calls between services; made for this run when not set");
        let secret = secret.unwrap_or_else(|| SecretString::from(format!("{0}{0}", uuid::Uuid::new_v4())));
        source.default_for("SOUK_NOTIFICATION_EMAIL_URL", format!("file://{}", data_dir.join("mail").display()));
        let mut gateway =
            gateway::settings::Settings::load(&mut source, &format!("127.0.0.1:{}", any_port(8080))).address;
        if let Some(host) = options.host {
            gateway.set_ip(host);
        }
        if let Some(port) = options.port {
            gateway.set_port(port);
        }
        // Read for what they say about wrong or unknown settings; the processes read them again.
        users::settings::Settings::load(&mut source, None);
        orders::settings::Settings::load(&mut source, None);
        inventory::settings::Settings::load(&mut source, None);
        payment::settings::Settings::load(&mut source, None);
        notification::settings::Settings::load(&mut source, None);

        let mut ports = Ports::default();
        let mut processes = Vec::new();
        let mut gateways = Vec::new();
        for role in &ROLES {
            let upper = role.name.to_uppercase();
            let grpc = role.grpc_port.map(|port| {
                loopback(
                    &mut source,
                    &format!("SOUK_{upper}_GRPC_ADDR"),
                    any_port(port),
                    "where gRPC calls are accepted",
                )
            });
            let key = format!("SOUK_{upper}_INTERNAL_ADDR");
            let own = loopback(&mut source, &key, any_port(role.internal_port), "health, metrics and log level");
            for instance in 0..options.instances {
                let grpc = grpc.map(|first| ports.take(first, instance * INSTANCE_STEP)).transpose()?;
                let internal = ports.take(own, instance * INSTANCE_STEP)?;
                let mut environment = BTreeMap::new();
                environment.insert(key.clone(), internal.to_string());
                if let Some(grpc) = grpc {
                    environment.insert(format!("SOUK_{upper}_GRPC_ADDR"), grpc.to_string());
                } else {
                    let public = ports.take(gateway, instance)?;
                    environment.insert("SOUK_GATEWAY_ADDR".to_owned(), public.to_string());
                    gateways.push(public);
                }
                // Two processes never share a folder of log files: a service's first is <dir>/<service>.
                if let Some(files) = process.log_files.as_ref().filter(|_| instance > 0) {
                    let dir = files.dir.join(format!("instance-{}", instance + 1));
                    environment.insert("SOUK_LOG_DIR".to_owned(), dir.display().to_string());
                }
                let suffix = if instance == 0 { String::new() } else { format!("-{}", instance + 1) };
                processes.push(Wanted {
                    service: role.name,
                    name: format!("{}{suffix}", role.name),
                    program: program(role.name)?,
                    environment,
                    internal,
                    grpc,
                });
            }
        }
        let shared = source.values();
        source.finish()?;
        let mut plan = Self { process, data_dir, internal: ports.take(internal, 0)?, gateways, secret, processes };
        plan.tell_everyone(&shared);
        Ok(plan)
    }

    /// Where a service takes calls.
    pub(crate) fn grpc_addresses(&self, service: &str) -> impl Iterator<Item = SocketAddr> {
        self.processes.iter().filter(move |process| process.service == service).filter_map(|process| process.grpc)
    }

    /// What every process is told: what was set, the secret, where its neighbours are.
    fn tell_everyone(&mut self, shared: &BTreeMap<String, String>) {
        let addresses: BTreeMap<_, _> = ROLES
            .iter()
            .map(|role| {
                let urls: Vec<_> = self.grpc_addresses(role.name).map(|address| format!("http://{address}")).collect();
                (role.name, urls.join(","))
            })
            .collect();
        for process in &mut self.processes {
            let own = std::mem::replace(&mut process.environment, shared.clone());
            process.environment.remove("SOUK_INTERNAL_ADDR");
            for role in ROLES.iter().filter(|role| role.name == process.service) {
                for callee in role.needs {
                    process
                        .environment
                        .insert(format!("SOUK_{}_URL", callee.to_uppercase()), addresses[callee].clone());
                }
            }
            process.environment.extend(own);
            let rest = [
                ("SOUK_ENV", self.process.environment.to_string()),
                ("SOUK_SERVICE_SECRET", self.secret.expose_secret().to_owned()),
                ("SOUK_STOP_WITH_PARENT", "true".to_owned()),
            ];
            process.environment.extend(rest.map(|(key, value)| (key.to_owned(), value)));
        }
    }
}

fn loopback(source: &mut Source, key: &str, port: u16, help: &str) -> SocketAddr {
    source.or(key, &format!("127.0.0.1:{port}"), help)
}

/// Engines that processes can share.
fn check_engines(given: &BTreeMap<String, String>, instances: u16) -> Result<(), UsageError> {
    let missing: Vec<_> = ENGINES.into_iter().filter(|key| !given.contains_key(*key)).collect();
    if !missing.is_empty() {
        return Err(UsageError(format!("--distributed needs engines, and {} not set; {HINT}", list(&missing))));
    }
    // A file has one writer at a time; a broker and the store of several instances have many.
    let shared = if instances > 1 { &ENGINES[..] } else { &ENGINES[..1] };
    let files: Vec<_> = shared.iter().copied().filter(|key| given[*key].starts_with("sqlite:")).collect();
    if !files.is_empty() {
        return Err(UsageError(format!("{} in a file, which processes can't share; {HINT}", list(&files))));
    }
    let realtime = given.get(REALTIME).map_or("memory://", String::as_str);
    if instances > 1 && realtime.starts_with("memory:") {
        return Err(UsageError(format!(
            "{REALTIME} is memory://, by which several gateways don't know of each other; {HINT}"
        )));
    }
    Ok(())
}

fn list(keys: &[&str]) -> String {
    format!("{} {}", keys.join(", "), if keys.len() == 1 { "is" } else { "are" })
}

/// The program of a service: it lies beside this one.
fn program(service: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the folder of this program can't be found")?;
    let path = own.with_file_name(format!("souk-{service}"));
    if path.is_file() {
        return Ok(path);
    }
    let folder = own.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    Err(UsageError(format!("souk-{service} is not in {folder}; `cargo build --workspace` makes it")).into())
}

/// Ports given out, each once. Those that were picked stay bound until all are, so that none is picked twice.
#[derive(Default)]
struct Ports(Vec<TcpListener>);

impl Ports {
    /// The address `offset` ports on from the first; any free one if that has port 0.
    fn take(&mut self, first: SocketAddr, offset: u16) -> Result<SocketAddr, UsageError> {
        let port = match first.port() {
            0 => 0,
            port => port.checked_add(offset).ok_or_else(|| UsageError(format!("no port is {offset} after {port}")))?,
        };
        let address = SocketAddr::new(first.ip(), port);
        let taken =
            |error| UsageError(format!("the address {address} can't be bound: {error}; --free-ports picks free ones"));
        let listener = TcpListener::bind(address).map_err(taken)?;
        let bound = listener.local_addr().map_err(taken)?;
        self.0.push(listener);
        Ok(bound)
    }
}
