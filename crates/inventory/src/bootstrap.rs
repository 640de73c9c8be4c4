//! The composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::inventory::inventory_service_server::InventoryServiceServer;
use futures::future::BoxFuture;
use messaging::{EventBus, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::url::InvalidSqliteUrl;
use sqlite::{OpenError, SqliteUrl};
use tonic::service::Routes;

#[cfg(feature = "redis")]
use crate::adapters::clients::orders::GrpcOrderLog;
#[cfg(feature = "redis")]
use crate::adapters::persistence::redis::{self, RedisStore, RedisUrl};
use crate::adapters::persistence::sqlite::SqliteStore;
use crate::api::grpc::InventoryGrpc;
use crate::api::sweeper;
use crate::application::Inventory;
use crate::application::ports::{CatalogueRepository, ReservationRepository};
use crate::settings::{DATABASE_URL, Settings};

mod audit;

pub use audit::audit;

/// The service's name.
pub const NAME: &str = "inventory";

#[cfg(not(feature = "redis"))]
const ENGINES: &str = "sqlite://<file>";
#[cfg(feature = "redis")]
const ENGINES: &str = "sqlite://<file> and redis://<host>";

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that this build has no driver for.
    #[error("{DATABASE_URL} names a {scheme}:// database, for which this build has no driver; it has {ENGINES}")]
    NotCompiledIn {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address is malformed.
    #[error("{DATABASE_URL} is not valid")]
    InvalidUrl(#[source] InvalidSqliteUrl),
    /// The database could not be opened.
    #[error("the inventory's database could not be opened")]
    Open(#[source] OpenError),
    /// The address of a Redis is malformed.
    #[cfg(feature = "redis")]
    #[error("{DATABASE_URL} is not valid")]
    InvalidRedisUrl(#[source] redis::InvalidRedisUrl),
    /// The address of a Redis can't be used.
    #[cfg(feature = "redis")]
    #[error("the inventory's Redis could not be used")]
    OpenRedis(#[source] redis::OpenError),
    /// Who says what a Redis forgot is not known.
    #[cfg(feature = "redis")]
    #[error("what a Redis forgets can't be restored")]
    Orders(#[source] UnknownNeighbour),
    /// A store that is for tests.
    #[error(
        "{DATABASE_URL} is memory://: what is kept in memory is gone with the process, so it is for tests alone; use {ENGINES}"
    )]
    InMemory,
    /// Who verifies users' tokens is not known.
    #[error("users' tokens could not be verified")]
    Users(#[source] UnknownNeighbour),
}

/// Builds the service: opens its store, wires its use cases, and returns what is to be run.
///
/// # Errors
/// [`BootstrapError`]; it never falls back to another store. One behind a network need not be there yet: the service is not
/// ready until it is.
#[expect(clippy::unused_async, reason = "services are built alike, and some connect here")]
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let identity = platform.identity(NAME);
    let user_tokens = platform.user_tokens(&identity).map_err(BootstrapError::Users)?;
    let Store { catalogue, reservations, ping, mut tasks } = open(&settings.database_url, platform, &bus)?;

    let broker = Arc::clone(&bus);
    let checks = vec![
        HealthCheck::critical("database", ping),
        // Events wait in the outbox while the broker is away: orders can be served without it.
        HealthCheck::optional("broker", move || {
            let broker = Arc::clone(&broker);
            async move { broker.ping().await.map_err(|error| error_chain(&error)) }
        }),
    ];

    let inventory = Arc::new(Inventory::new(catalogue, reservations, Arc::clone(&platform.clock)));
    let (swept, stop) = (Arc::clone(&inventory), platform.stop.clone());
    tasks.push(BackgroundTask::new("inventory.sweeper", move || sweeper::run(Arc::clone(&swept), stop.clone())));

    Ok(Service {
        name: NAME,
        routes: Routes::new(InventoryServiceServer::new(InventoryGrpc::new(inventory))),
        authenticator: platform.authenticator(&identity, user_tokens),
        tasks,
        checks,
    })
}

/// What the chosen engine provides.
struct Store {
    catalogue: Arc<dyn CatalogueRepository>,
    reservations: Arc<dyn ReservationRepository>,
    ping: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// The relay of its outbox, and what it needs besides.
    tasks: Vec<BackgroundTask>,
}

/// The scheme picks the engine.
fn open(url: &str, platform: &Platform, bus: &Arc<dyn EventBus>) -> Result<Store, BootstrapError> {
    match database_url(url)? {
        DatabaseUrl::Sqlite(url) => open_sqlite(&url, platform, bus),
        #[cfg(feature = "redis")]
        DatabaseUrl::Redis(url) => open_redis(&url, platform, bus),
    }
}

fn open_sqlite(url: &SqliteUrl, platform: &Platform, bus: &Arc<dyn EventBus>) -> Result<Store, BootstrapError> {
    let store = SqliteStore::open(url, Arc::clone(&platform.ids)).map_err(BootstrapError::Open)?;
    tracing::info!(engine = "sqlite", file = %url, "store opened");
    let database = store.ping();
    let (outbox, bus, stop) = (store.outbox, Arc::clone(bus), platform.stop.clone());
    let relay =
        BackgroundTask::new("inventory.relay", move || relay::run(outbox.clone(), Arc::clone(&bus), stop.clone()));
    Ok(Store {
        catalogue: Arc::new(store.catalogue),
        reservations: Arc::new(store.reservations),
        ping: Box::new(move || {
            let ping = database();
            Box::pin(async move { ping.await.map_err(|error| error_chain(&error)) })
        }),
        tasks: vec![relay],
    })
}

#[cfg(feature = "redis")]
fn open_redis(url: &RedisUrl, platform: &Platform, bus: &Arc<dyn EventBus>) -> Result<Store, BootstrapError> {
    let channel = platform.channel(&platform.identity(NAME), "orders").map_err(BootstrapError::Orders)?;
    let (orders, ids) = (Arc::new(GrpcOrderLog::new(channel)), Arc::clone(&platform.ids));
    let (store, upkeep) =
        RedisStore::guarded(url, ids, orders, Arc::clone(&platform.clock)).map_err(BootstrapError::OpenRedis)?;
    tracing::info!(engine = "redis", %url, "store opened");
    let database = store.ping();
    let (outbox, bus, stop) = (store.outbox.clone(), Arc::clone(bus), platform.stop.clone());
    let relay =
        BackgroundTask::new("inventory.relay", move || relay::run(outbox.clone(), Arc::clone(&bus), stop.clone()));
    let (outbox, stop) = (store.outbox, platform.stop.clone());
    let listener = BackgroundTask::new("inventory.outbox", move || {
        let (outbox, stop) = (outbox.clone(), stop.clone());
        async move { outbox.listen(&stop).await }
    });
    let (upkeep, stop) = (Arc::new(upkeep), platform.stop.clone());
    let upkeep = BackgroundTask::new("inventory.upkeep", move || {
        let (upkeep, stop) = (Arc::clone(&upkeep), stop.clone());
        async move { upkeep.run(&stop).await }
    });
    Ok(Store {
        catalogue: Arc::new(store.catalogue),
        reservations: Arc::new(store.reservations),
        ping: Box::new(move || {
            let ping = database();
            Box::pin(async move { ping.await.map_err(|error| error_chain(&error)) })
        }),
        tasks: vec![relay, listener, upkeep],
    })
}

#[derive(Debug)]
enum DatabaseUrl {
    Sqlite(SqliteUrl),
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
}

fn database_url(url: &str) -> Result<DatabaseUrl, BootstrapError> {
    match url.split_once("://") {
        Some(("sqlite", _)) | None => url.parse().map(DatabaseUrl::Sqlite).map_err(BootstrapError::InvalidUrl),
        #[cfg(feature = "redis")]
        Some(("redis", _)) => url.parse().map(DatabaseUrl::Redis).map_err(BootstrapError::InvalidRedisUrl),
        Some(("memory", _)) => Err(BootstrapError::InMemory),
        Some((scheme, _)) => Err(BootstrapError::NotCompiledIn { scheme: scheme.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_engine_and_others_are_refused_by_name() {
        assert!(database_url("sqlite://data/inventory.db").is_ok());
        let refused = database_url("mongodb://localhost").unwrap_err().to_string();
        assert!(refused.contains(DATABASE_URL) && refused.contains("mongodb://"), "{refused}");
        assert!(matches!(database_url("inventory.db"), Err(BootstrapError::InvalidUrl(_))));
    }

    #[test]
    fn a_store_in_memory_is_refused_and_told_why() {
        let refused = database_url("memory://").unwrap_err().to_string();
        assert!(refused.contains(DATABASE_URL) && refused.contains("tests alone"), "{refused}");
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn a_build_without_the_driver_says_so() {
        let refused = database_url("redis://localhost:6379/0").unwrap_err().to_string();
        assert!(refused.contains(DATABASE_URL) && refused.contains("redis://"), "{refused}");
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_build_with_the_driver_takes_redis_and_checks_its_address() {
        assert!(matches!(database_url("redis://localhost:6379/0?prefix=shop"), Ok(DatabaseUrl::Redis(_))));
        let refused = error_chain(&database_url("redis://:secret@localhost/0?prefix=a b").unwrap_err());
        assert!(
            refused.contains(DATABASE_URL) && refused.contains("prefix") && !refused.contains("secret"),
            "{refused}"
        );
    }
}
