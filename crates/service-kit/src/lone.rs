//! The `main` of a service that runs alone: settings → logs → internal port → build → serve until stopped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use observability::logs::{LogControl, error_chain};
use observability::{Health, HealthCheck};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::grpc::client::Neighbour;
use crate::grpc::health::HealthService;
use crate::grpc::server::Listener;
use crate::host::{self, GRACE, Host};
use crate::internal_http::{self, InternalHttp};
use crate::platform::Platform;
use crate::process::{Environment, ProcessSettings};
use crate::service::{BackgroundTask, Service};
use crate::settings::Source;
use crate::startup::Startup;

/// Shortest secret that services may share: as long as the hash it keys (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The part of the grace period that calls in work get; the rest is for publishing what they wrote.
const CALLS_GRACE: Duration = Duration::from_secs(7);

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
    /// Not ready until [`Lone::serve`] or [`Lone::serve_http`] is called.
    pub startup: Startup,
    name: &'static str,
    grpc_address: Option<SocketAddr>,
    /// Whether it is past its start.
    serving: Arc<AtomicBool>,
    /// Cancelled by a signal.
    asked_to_stop: CancellationToken,
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
                // Dropped last: what is logged and traced until the end is written and sent.
                let telemetry = process.init_telemetry(service.name)?;
                observability::metrics::runtime::watch(&tokio::runtime::Handle::current());
                let health = Health::default();
                let operators =
                    Operators::start(common.internal_address, health.clone(), telemetry.log_control.clone())?;
                let asked = asked_to_stop(common.stop_with_parent);
                let result = run_until_stopped(common.into_lone(service, health), asked, |lone| run(own, lone)).await;
                operators.finish().await;
                result
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

/// The internal port: there from the first moment to the last.
struct Operators(Host);

impl Operators {
    fn start(address: SocketAddr, health: Health, log_control: LogControl) -> anyhow::Result<Self> {
        let internal = InternalHttp { health: health.clone(), log_control };
        let (server, bound) = internal_http::bind(address, internal, |_| {})
            .with_context(|| format!("the internal address {address} can't be bound"))?;
        tracing::info!(internal = %bound, "starting");
        let host = Host::new(CancellationToken::new(), health);
        host.run_http("internal HTTP", server);
        Ok(Self(host))
    }

    async fn finish(self) {
        self.0.stop().cancel();
        self.0.finish().await;
    }
}

/// Returns on a signal, or when the parent lets go of standard input.
async fn asked_to_stop(with_parent: bool) -> std::io::Result<()> {
    let (let_go, parent_gone) = tokio::sync::oneshot::channel();
    if with_parent {
        // A thread of its own: nothing else ends a read from a pipe, and the process need not wait for it.
        std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = let_go.send(());
        })?;
        tokio::select! {
            result = host::stop_signal() => result,
            _ = parent_gone => Ok(()),
        }
    } else {
        host::stop_signal().await
    }
}

/// Builds and serves. Asked to stop while it is being built, the service ends at once: nothing is in work yet.
async fn run_until_stopped<F>(
    lone: Lone,
    asked: impl Future<Output = std::io::Result<()>>,
    run: impl FnOnce(Lone) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (name, stop, serving) = (lone.name, lone.asked_to_stop.clone(), Arc::clone(&lone.serving));
    let mut asked = std::pin::pin!(asked);
    let startup = lone.startup.clone();
    let mut running = std::pin::pin!(startup.scope(run(lone)));
    tokio::select! {
        result = &mut running => result,
        result = &mut asked => {
            result?;
            tracing::info!(service = name, "stopping");
            if serving.load(Ordering::SeqCst) {
                stop.cancel();
                running.await
            } else {
                Ok(())
            }
        }
    }
}

struct Common {
    grpc_address: Option<SocketAddr>,
    internal_address: SocketAddr,
    broker_url: String,
    service_secret: SecretString,
    neighbours: HashMap<&'static str, Neighbour>,
    stop_with_parent: bool,
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
        let stop_with_parent = source.or(
            "SOUK_STOP_WITH_PARENT",
            "false",
            "true: stop when standard input ends, as it does when the process that holds its other end is gone",
        );
        Self { grpc_address, internal_address, broker_url, service_secret, neighbours, stop_with_parent }
    }

    fn into_lone(self, service: LoneService, health: Health) -> Lone {
        Lone {
            platform: Platform {
                clock: Arc::new(SystemClock),
                ids: Arc::new(UuidV7Generator),
                service_secret: self.service_secret,
                neighbours: self.neighbours,
                stop: CancellationToken::new(),
            },
            broker_url: self.broker_url,
            startup: Startup::begin(&health),
            health,
            name: service.name,
            grpc_address: self.grpc_address,
            serving: Arc::default(),
            asked_to_stop: CancellationToken::new(),
        }
    }
}

impl Lone {
    /// Serves the calls of a service until the process is asked to stop, then finishes what is in work: calls first, then
    /// what goes on beside them, so that what the last calls wrote is still published.
    ///
    /// # Errors
    /// When an address can't be bound.
    pub async fn serve(self, service: Service) -> anyhow::Result<()> {
        let address = self.grpc_address.context("a service with calls has a gRPC address")?;
        // Only now: a caller of a service that still waits for its stores is refused at once, not kept waiting.
        let socket =
            tokio::net::TcpListener::bind(address).await.with_context(|| format!("{address} can't be bound"))?;
        tracing::info!(service = self.name, grpc = %socket.local_addr()?, "serving");
        let calls = Host::new(CancellationToken::new(), self.health.clone());
        let tasks = Host::new(self.platform.stop.child_token(), self.health.clone());
        for task in service.tasks {
            tasks.run(self.name, task);
        }
        let probes = HealthService::new(self.health.clone(), calls.stop().clone());
        let routes = service.routes.add_service(probes.into_server());
        calls.start(Service { routes, tasks: Vec::new(), ..service }, Listener::Tcp(socket), "");
        self.is_serving();
        let asked = self.asked_to_stop.clone();
        tokio::select! {
            () = asked.cancelled() => {}
            () = calls.stop().cancelled() => {}
            () = self.platform.stop.cancelled() => {}
        }
        self.health.stop();
        calls.stop().cancel();
        let started = Instant::now();
        calls.finish_within(CALLS_GRACE).await;
        self.platform.stop.cancel();
        tasks.finish_within(GRACE.saturating_sub(started.elapsed())).await;
        Ok(())
    }

    /// Runs an HTTP server, already bound, with its tasks and checks, until the process is asked to stop.
    ///
    /// # Errors
    /// None so far.
    pub async fn serve_http(
        self,
        server: actix_web::dev::Server,
        (drain, longest): (impl Future<Output = ()> + Send + 'static, Duration),
        tasks: Vec<BackgroundTask>,
        checks: Vec<HealthCheck>,
    ) -> anyhow::Result<()> {
        let host = Host::new(self.platform.stop.clone(), self.health.clone());
        for check in checks {
            self.health.add(check);
        }
        for task in tasks {
            host.run(self.name, task);
        }
        host.run_http_until_drained("public HTTP", server, drain, longest);
        self.is_serving();
        tokio::select! {
            () = self.asked_to_stop.cancelled() => {}
            () = self.platform.stop.cancelled() => {}
        }
        // Live streams end with the platform, not by themselves.
        self.health.stop();
        self.platform.stop.cancel();
        host.finish().await;
        Ok(())
    }

    fn is_serving(&self) {
        self.serving.store(true, Ordering::SeqCst);
        self.startup.done();
    }
}
