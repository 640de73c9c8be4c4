//! Puts the six services together in one process: each speaks gRPC with the others, over memory instead of sockets.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web;
use anyhow::Context as _;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use contracts::{Clock, IdGenerator as _};
use observability::logs::{LogControl, error_chain};
use observability::{Health, HealthCheck};
use secrecy::SecretString;
use service_kit::Platform;
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use service_kit::grpc::server::Listener;
use service_kit::host::Host;
use service_kit::internal_http::{self, InternalHttp};
use tokio_util::sync::CancellationToken;

use crate::UsageError;
use crate::dlq;
use crate::seed::{self, Seeder};
use crate::settings::Settings;

/// The services that take calls, in the order they are built.
const CALLED: [&str; 5] = ["users", "inventory", "payment", "notification", "orders"];

/// How long the services may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const READY_POLL: Duration = Duration::from_millis(5);

/// Services that stop together.
struct Tier {
    stop: CancellationToken,
    host: Host,
}

impl Tier {
    fn new(health: &Health) -> Self {
        let stop = CancellationToken::new();
        Self { host: Host::new(stop.clone(), health.clone()), stop }
    }

    async fn finish(&self) {
        self.stop.cancel();
        self.host.finish().await;
    }
}

/// A Souk that serves.
pub(crate) struct Souk {
    pub(crate) gateway: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) seeder: Seeder,
    /// In the order they stop: requests first, then checkouts in work, then what those call.
    tiers: [Tier; 3],
}

impl Souk {
    /// Returns when a part failed and took its tier down.
    pub(crate) async fn failed(&self) {
        let [edge, orders, rest] = &self.tiers;
        tokio::select! {
            () = edge.stop.cancelled() => {}
            () = orders.stop.cancelled() => {}
            () = rest.stop.cancelled() => {}
        }
    }

    /// Finishes what is in work.
    pub(crate) async fn finish(self) {
        for tier in &self.tiers {
            tier.finish().await;
        }
    }
}

/// Builds and starts all services; seeds first if asked to.
pub(crate) async fn start(
    settings: &Settings,
    log_control: LogControl,
    seed: bool,
    allow_demo_accounts: bool,
) -> anyhow::Result<Souk> {
    observability::metrics::runtime::watch(&tokio::runtime::Handle::current());
    check_addresses(settings)?;
    let reachable = !settings.gateway.address.ip().is_loopback() && !allow_demo_accounts;
    if seed && reachable {
        return Err(UsageError(published_passwords(settings.gateway.address, "would be made")).into());
    }
    let mut listeners = HashMap::new();
    let mut neighbours = HashMap::new();
    for name in CALLED {
        let (connector, listener) = local::pair();
        neighbours.insert(name, Neighbour::Local(connector));
        listeners.insert(name, listener);
    }
    let health = Health::default();
    let tiers = [Tier::new(&health), Tier::new(&health), Tier::new(&health)];
    let [edge, orders, rest] = &tiers;
    let ids = UuidV7Generator;
    let platform = Platform {
        clock: Arc::new(SystemClock),
        ids: Arc::new(ids),
        // Services of one process share a secret that never leaves it.
        service_secret: SecretString::from(format!("{}{}", uuid::Uuid::new_v4(), ids.new_uuid())),
        neighbours,
        stop: rest.stop.clone(),
    };
    let platform_of = |tier: &Tier| Platform { stop: tier.stop.clone(), ..platform.clone() };
    let clock: Arc<dyn Clock> = Arc::clone(&platform.clock);
    let messaging::Broker { bus, dead_letters } =
        messaging::open(&settings.broker_url, clock).await.context("SOUK_BROKER_URL")?;
    let broker = Arc::clone(&bus);
    health.add(HealthCheck::critical("broker", move || {
        let broker = Arc::clone(&broker);
        async move { broker.ping().await.map_err(|error| error_chain(&error)) }
    }));

    // All are built, and so have declared their queues, before any runs and publishes.
    let called = [
        users::bootstrap::build(&settings.users, &platform, Arc::clone(&bus)).await.context("users")?,
        inventory::bootstrap::build(&settings.inventory, &platform, Arc::clone(&bus)).await.context("inventory")?,
        payment::bootstrap::build(&settings.payment, &platform, Arc::clone(&bus)).await.context("payment")?,
        notification::bootstrap::build(&settings.notification, &platform, Arc::clone(&bus))
            .await
            .context("notification")?,
    ];
    let ordering = orders::bootstrap::build(&settings.orders, &platform_of(orders), Arc::clone(&bus)).await;
    let ordering = ordering.context("orders")?;
    let gateway = gateway::bootstrap::build(&settings.gateway, &platform_of(edge), bus, health.clone())
        .await
        .map_err(|error| UsageError(error_chain(&error)))?;

    let identity = platform.identity("souk");
    let seeder = Seeder {
        users: UsersServiceClient::new(platform.channel(&identity, "users")?),
        inventory: InventoryServiceClient::new(platform.channel(&identity, "inventory")?),
    };
    let internal = InternalHttp { health: health.clone(), log_control };
    let (seeding, letters) = (seed::internal_routes(seeder.clone()), dlq::desk::internal_routes(dead_letters));
    let routes = move |config: &mut web::ServiceConfig| {
        seeding(config);
        letters(config);
    };
    let (server, internal) = internal_http::bind(settings.internal_address, internal, routes)
        .map_err(|error| internal_address_taken(settings.internal_address, &error))?;

    let mut listener_of = |name| listeners.remove(name).context("every service has a listener");
    for service in called {
        let listener = listener_of(service.name)?;
        let prefix = format!("{}.", service.name);
        rest.host.start(service, Listener::Local(listener), &prefix);
    }
    orders.host.start(ordering, Listener::Local(listener_of("orders")?), "orders.");
    // Operators can look to the very end.
    rest.host.run_http("internal HTTP", server);
    let souk = Souk { gateway: gateway.address, internal, seeder, tiers };
    let [edge, ..] = &souk.tiers;
    let prepared = prepare(&souk.seeder, seed, reachable, gateway.address).await;
    if let Err(error) = prepared {
        souk.finish().await;
        return Err(error);
    }
    for check in gateway.checks {
        health.add(check);
    }
    for task in gateway.tasks {
        edge.host.run("gateway", task);
    }
    let longest = gateway.drain.longest();
    edge.host.run_http_until_drained("public HTTP", gateway.server, gateway.drain.run(), longest);
    wait_until_ready(&health, &edge.stop).await?;
    Ok(souk)
}

/// Finds out before anything is made or opened that an address can't be had.
fn check_addresses(settings: &Settings) -> Result<(), UsageError> {
    let address = settings.gateway.address;
    TcpListener::bind(address).map_err(|error| {
        UsageError(format!(
            "the address {address} can't be bound: {error}; give --port another one (0 picks a free one)"
        ))
    })?;
    TcpListener::bind(settings.internal_address)
        .map_err(|error| internal_address_taken(settings.internal_address, &error))?;
    Ok(())
}

pub(crate) fn internal_address_taken(address: SocketAddr, error: &std::io::Error) -> UsageError {
    UsageError(format!(
        "the internal address {address} can't be bound: {error}; give --internal-port another one (0 picks a free one)"
    ))
}

/// What comes before the first request: demo data if asked for, and none that others could use by accident.
pub(crate) async fn prepare(seeder: &Seeder, seed: bool, reachable: bool, gateway: SocketAddr) -> anyhow::Result<()> {
    if seed {
        let report = seeder.seed().await.context("the demo data could not be written")?;
        tracing::info!(products = report.products_created, accounts = report.accounts_created, "seeded");
    }
    if reachable && seeder.count_accounts().await.context("the demo accounts could not be counted")? > 0 {
        return Err(UsageError(published_passwords(gateway, "exist")).into());
    }
    Ok(())
}

pub(crate) fn published_passwords(gateway: SocketAddr, verb: &str) -> String {
    format!(
        "demo accounts with published passwords {verb}, and {gateway} can be reached from other machines; \
         use a --data-dir without them, or --allow-demo-accounts if that is meant"
    )
}

/// Who is told that Souk serves may use it at once.
async fn wait_until_ready(health: &Health, stop: &CancellationToken) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let report = health.ready().await;
        if report.serving {
            return Ok(());
        }
        if stop.is_cancelled() || Instant::now() > deadline {
            let down = report.checks.iter().filter(|(_, check)| check.status == "down");
            let down: Vec<_> =
                down.map(|(name, check)| format!("{name}: {}", check.error.as_deref().unwrap_or("down"))).collect();
            anyhow::bail!("not ready after {READY_PATIENCE:?}: {}", down.join(", "));
        }
        tokio::time::sleep(READY_POLL).await;
    }
}
