//! Puts the six services together in one process: each speaks gRPC with the others, over memory instead of sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contracts::grpc::inventory::inventory_service_client::InventoryServiceClient;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use contracts::{Clock, IdGenerator as _};
use observability::logs::LogControl;
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
use crate::seed::{self, Seeder};
use crate::settings::Settings;

/// The services that take calls, in the order they are built.
const CALLED: [&str; 5] = ["users", "inventory", "payment", "notification", "orders"];

/// How long the services may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const READY_POLL: Duration = Duration::from_millis(5);

/// A Souk that serves.
pub(crate) struct Souk {
    pub(crate) gateway: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) seeder: Seeder,
    host: Host,
}

impl Souk {
    /// Finishes what is in work.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.host.finish().await;
    }
}

/// Builds and starts all services; seeds first if asked to.
pub(crate) async fn start(
    settings: &Settings,
    log_control: LogControl,
    seed: bool,
    allow_demo_accounts: bool,
) -> anyhow::Result<Souk> {
    let mut listeners = HashMap::new();
    let mut neighbours = HashMap::new();
    for name in CALLED {
        let (connector, listener) = local::pair();
        neighbours.insert(name, Neighbour::Local(connector));
        listeners.insert(name, listener);
    }
    let ids = UuidV7Generator;
    let platform = Platform {
        clock: Arc::new(SystemClock),
        ids: Arc::new(ids),
        // Services of one process share a secret that never leaves it.
        service_secret: SecretString::from(format!("{}{}", uuid::Uuid::new_v4(), ids.new_uuid())),
        neighbours,
        stop: CancellationToken::new(),
    };
    let clock: Arc<dyn Clock> = Arc::clone(&platform.clock);
    let bus = messaging::connect(&settings.broker_url, clock).await.context("SOUK_BROKER_URL")?;
    let health = Health::default();
    let broker = Arc::clone(&bus);
    health.add(HealthCheck::critical("broker", move || {
        let broker = Arc::clone(&broker);
        async move { broker.ping().await.map_err(|error| observability::logs::error_chain(&error)) }
    }));

    // All are built, and so have declared their queues, before any runs and publishes.
    let services = [
        users::bootstrap::build(&settings.users, &platform, Arc::clone(&bus)).await.context("users")?,
        inventory::bootstrap::build(&settings.inventory, &platform, Arc::clone(&bus)).await.context("inventory")?,
        payment::bootstrap::build(&settings.payment, &platform, Arc::clone(&bus)).await.context("payment")?,
        notification::bootstrap::build(&settings.notification, &platform, Arc::clone(&bus))
            .await
            .context("notification")?,
        orders::bootstrap::build(&settings.orders, &platform, Arc::clone(&bus)).await.context("orders")?,
    ];
    let gateway = gateway::bootstrap::build(&settings.gateway, &platform, bus, health.clone())
        .await
        .map_err(|error| UsageError(observability::logs::error_chain(&error)))?;

    let identity = platform.identity("souk");
    let seeder = Seeder {
        users: UsersServiceClient::new(platform.channel(&identity, "users")?),
        inventory: InventoryServiceClient::new(platform.channel(&identity, "inventory")?),
    };
    let internal = InternalHttp { health: health.clone(), log_control };
    let (server, internal) = internal_http::bind(
        settings.internal_address,
        internal,
        seed::internal_routes(seeder.clone()),
    )
    .map_err(|error| {
        UsageError(format!(
            "the internal address {} can't be bound: {error}; give --internal-port another one (0 picks a free one)",
            settings.internal_address
        ))
    })?;
    let host = Host::new(platform.stop.clone(), health.clone());
    for service in services {
        let name = service.name;
        let listener = listeners.remove(name).context("every service has a listener")?;
        host.start(service, Listener::Local(listener), &format!("{name}."));
    }
    if seed {
        let report = seeder.seed().await.context("the demo data could not be written")?;
        tracing::info!(products = report.products_created, accounts = report.accounts_created, "seeded");
    }
    let result = check_demo_accounts(&seeder, gateway.address, allow_demo_accounts).await;
    if let Err(error) = result {
        platform.stop.cancel();
        host.finish().await;
        return Err(error);
    }

    host.run_http("internal HTTP", server);
    for check in gateway.checks {
        health.add(check);
    }
    for task in gateway.tasks {
        host.run(task);
    }
    host.run_http("public HTTP", gateway.server);
    wait_until_ready(&health, &platform.stop).await?;
    Ok(Souk { gateway: gateway.address, internal, stop: platform.stop, seeder, host })
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

/// Accounts whose passwords are published must not be reachable from other machines by accident.
async fn check_demo_accounts(seeder: &Seeder, gateway: SocketAddr, allowed: bool) -> anyhow::Result<()> {
    if allowed || gateway.ip().is_loopback() {
        return Ok(());
    }
    let accounts = seeder.count_accounts().await.context("the demo accounts could not be counted")?;
    if accounts > 0 {
        let problem = format!(
            "{accounts} demo accounts with published passwords exist, and {gateway} can be reached from other machines; \
             use another --data-dir, or --allow-demo-accounts if that is meant"
        );
        return Err(UsageError(problem).into());
    }
    Ok(())
}
