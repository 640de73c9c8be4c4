//! The `main` of a service that runs alone: settings → logs → build → run until stopped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use observability::logs::{LogControl, error_chain};
use observability::{Health, HealthCheck};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::grpc::client::Neighbour;
use crate::grpc::server::Listener;
use crate::host::{self, Host};
use crate::internal_http::{self, InternalHttp};
use crate::platform::Platform;
use crate::process::{Environment, ProcessSettings};
use crate::service::{BackgroundTask, Service};
use crate::settings::Source;

/// Shortest secret that services may share: as long as the hash it keys (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// What a lone service is and needs.
#[derive(Clone, Copy, Debug)]
pub struct LoneService {
    /// `orders`.
    pub name: &'static str,
    /// What it does, for `--help`.
    pub about: &'static str,
    /// Its gRPC port by default; `None` for the gateway, which serves none.
    pub grpc_port: Option<u16>,
    /// The services it calls.
    pub needs: &'static [&'static str],
}

/// A process around one service.
pub struct Lone {
    /// What the composition root is given.
    pub platform: Platform,
    /// `SOUK_BROKER_URL`.
    pub broker_url: String,
    /// Answers the health routes.
    pub health: Health,
    name: &'static str,
    grpc_address: Option<SocketAddr>,
    internal_address: SocketAddr,
    log_control: LogControl,
}

/// One or several addresses, comma-separated.
#[derive(Clone)]
struct Addresses(Vec<Endpoint>);

impl FromStr for Addresses {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let endpoints = text.split(',').map(|address| {
            let address = address.trim();
            if !address.starts_with("http://") {
                return Err(format!("'{address}' must begin with http://"));
            }
            Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())
        });
        endpoints.collect::<Result<_, _>>().map(Self)
    }
}

/// Runs a service: `load` reads its settings, `run` builds it and calls [`Lone::serve`]. The exit code is 0 after a clean
/// stop, 1 when it could not run, 2 when it was not started rightly.
pub fn main<S, F>(service: LoneService, load: impl FnOnce(&mut Source) -> S, run: impl FnOnce(S, Lone) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut source = Source::of_process(None).for_lone_service(service.name);
    let process = ProcessSettings::load(&mut source, Environment::Production);
    let common = Common::load(&mut source, service);
    let own = load(&mut source);
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            println!("souk-{}: {}\n\nSettings (environment, or souk.toml):\n", service.name, service.about);
            for setting in source.effective() {
                println!(
                    "  {:<34} {}\n  {:<34} now: {} ({})\n",
                    setting.key, setting.help, "", setting.value, setting.origin
                );
            }
            return ExitCode::SUCCESS;
        }
        Some("--version" | "-V") => {
            println!("souk-{} {}", service.name, env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("souk-{}: unexpected argument '{other}'; --help tells the settings", service.name);
            return ExitCode::from(2);
        }
    }
    if let Err(error) = source.finish() {
        eprintln!("souk-{}: {error}", service.name);
        return ExitCode::from(2);
    }
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")
        .and_then(|runtime| {
            runtime.block_on(async {
                let log_control = process.init_logs(service.name)?;
                run(own, common.into_lone(service, log_control)).await
            })
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("souk-{}: {}", service.name, error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

struct Common {
    grpc_address: Option<SocketAddr>,
    internal_address: SocketAddr,
    broker_url: String,
    service_secret: SecretString,
    neighbours: HashMap<&'static str, Neighbour>,
}

impl Common {
    fn load(source: &mut Source, service: LoneService) -> Self {
        let upper = service.name.to_uppercase();
        let grpc_address = service.grpc_port.map(|port| {
            source.or(&format!("SOUK_{upper}_GRPC_ADDR"), &format!("0.0.0.0:{port}"), "where gRPC calls are accepted")
        });
        let internal_address = source.or(
            &format!("SOUK_{upper}_INTERNAL_ADDR"),
            "0.0.0.0:9090",
            "health, metrics and log level; for operators alone",
        );
        let broker_url = source.required("SOUK_BROKER_URL", "the event bus, such as sqlite:///var/lib/souk/broker.db");
        let secret_help = "signs the calls between services; the same for all of them, at least 32 bytes";
        let service_secret = source.secret("SOUK_SERVICE_SECRET", secret_help).unwrap_or_default();
        if service_secret.expose_secret().len() < MIN_SECRET_BYTES {
            source.problem("SOUK_SERVICE_SECRET", &format!("must be set to at least {MIN_SECRET_BYTES} bytes"));
        }
        let mut neighbours = HashMap::new();
        for callee in service.needs {
            let key = format!("SOUK_{}_URL", callee.to_uppercase());
            let help = format!("where {callee} is, such as http://{callee}:50051; several, comma-separated");
            match source.optional::<Addresses>(&key, &help) {
                Some(addresses) => {
                    neighbours.insert(*callee, Neighbour::Remote(addresses.0));
                }
                None => source.problem(&key, &format!("is not set: {help}")),
            }
        }
        Self { grpc_address, internal_address, broker_url, service_secret, neighbours }
    }

    fn into_lone(self, service: LoneService, log_control: LogControl) -> Lone {
        Lone {
            platform: Platform {
                clock: Arc::new(SystemClock),
                ids: Arc::new(UuidV7Generator),
                service_secret: self.service_secret,
                neighbours: self.neighbours,
                stop: CancellationToken::new(),
            },
            broker_url: self.broker_url,
            health: Health::default(),
            name: service.name,
            grpc_address: self.grpc_address,
            internal_address: self.internal_address,
            log_control,
        }
    }
}

impl Lone {
    /// Serves the calls of a service until the process is asked to stop, then finishes what is in work.
    ///
    /// # Errors
    /// When an address can't be bound.
    pub async fn serve(self, service: Service) -> anyhow::Result<()> {
        let address = self.grpc_address.context("a service with calls has a gRPC address")?;
        let socket =
            tokio::net::TcpListener::bind(address).await.with_context(|| format!("{address} can't be bound"))?;
        let host = Host::new(self.platform.stop.clone(), self.health.clone());
        tracing::info!(grpc = %socket.local_addr()?, internal = %self.internal_address, "serving");
        host.start(service, Listener::Tcp(socket), "");
        self.run(&host).await
    }

    /// Runs an HTTP server, already bound, with its tasks and checks, until the process is asked to stop.
    ///
    /// # Errors
    /// When the internal address can't be bound.
    pub async fn serve_http(
        self,
        server: actix_web::dev::Server,
        tasks: Vec<BackgroundTask>,
        checks: Vec<HealthCheck>,
    ) -> anyhow::Result<()> {
        let host = Host::new(self.platform.stop.clone(), self.health.clone());
        for check in checks {
            self.health.add(check);
        }
        for task in tasks {
            host.run(task);
        }
        host.run_http("public HTTP", server);
        self.run(&host).await
    }

    async fn run(&self, host: &Host) -> anyhow::Result<()> {
        let internal = InternalHttp { health: self.health.clone(), log_control: self.log_control.clone() };
        let (server, _) = internal_http::bind(self.internal_address, internal, |_| {})
            .with_context(|| format!("{} can't be bound", self.internal_address))?;
        host.run_http("internal HTTP", server);
        tokio::select! {
            result = host::stop_signal() => result?,
            () = self.platform.stop.cancelled() => {}
        }
        tracing::info!(service = self.name, "stopping");
        self.platform.stop.cancel();
        host.finish().await;
        Ok(())
    }
}
