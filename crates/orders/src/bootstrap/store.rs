//! The order store that the scheme of `SOUK_ORDERS_DATABASE_URL` names.

use std::sync::Arc;

use futures::future::BoxFuture;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{EventBus, OutboxStatusSource, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::{BackgroundTask, Platform};
use sqlite::{OpenError, SqliteUrl};
use tokio_util::sync::CancellationToken;

use crate::adapters::persistence::sqlite::SqliteOrderRepository;
use crate::application::ports::{OrderRepository, RepositoryError};
use crate::settings::Settings;

/// Why there is no order store.
#[derive(Debug, thiserror::Error)]
pub enum StoreUnusable {
    /// The database address is malformed or names an engine this build lacks.
    #[error("SOUK_ORDERS_DATABASE_URL: this build keeps orders in {ENGINES}; '{scheme}' is not available")]
    Engine {
        /// What it named instead.
        scheme: String,
    },
    /// The store could not be opened.
    #[error("the order store could not be opened")]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error("the order store could not be read")]
    Read(#[source] RepositoryError),
    /// The address is no PostgreSQL address.
    #[cfg(feature = "postgres")]
    #[error("SOUK_ORDERS_DATABASE_URL is not valid")]
    InvalidUrl(#[from] messaging::postgres::InvalidPostgresUrl),
    /// The schema is of another build.
    #[cfg(feature = "postgres")]
    #[error("the order store does not fit this build")]
    Schema(#[from] messaging::postgres::migration::MigrationError),
}

#[cfg(not(feature = "postgres"))]
const ENGINES: &str = "sqlite://<file>";
#[cfg(feature = "postgres")]
const ENGINES: &str = "sqlite://<file> or postgres://<address>";

/// Begins to publish the store's events.
type StartRelay = Box<dyn Fn(Arc<dyn EventBus>, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// A store and what it brings with it.
pub(super) struct Store {
    pub(super) repository: Arc<dyn OrderRepository>,
    pub(super) start_relay: StartRelay,
    pub(super) check: HealthCheck,
    pub(super) tasks: Vec<BackgroundTask>,
}

#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "other engines connect here"))]
pub(super) async fn open(settings: &Settings, platform: &Platform) -> Result<Store, StoreUnusable> {
    let scheme = settings.database_url.split("://").next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres(settings, platform).await,
        _ => sqlite(settings, platform)
            .map_err(|error| error.unwrap_or(StoreUnusable::Engine { scheme: scheme.to_owned() })),
    }
}

/// How far the service's outbox is behind, read from its store alone: for operators, whether the service runs or not.
///
/// # Errors
/// [`StoreUnusable`] when the address can't be used.
pub fn outbox_status(url: &str) -> Result<Arc<dyn OutboxStatusSource>, StoreUnusable> {
    let scheme = url.split("://").next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Arc::new(messaging::postgres::PostgresOutboxStatus::new(url)?)),
        _ => match url.parse::<SqliteUrl>() {
            Ok(url) => Ok(Arc::new(SqliteOutboxStatus::new(&url))),
            Err(_) => Err(StoreUnusable::Engine { scheme: scheme.to_owned() }),
        },
    }
}

/// `Err(None)` when the address is not of this engine.
fn sqlite(settings: &Settings, platform: &Platform) -> Result<Store, Option<StoreUnusable>> {
    let url: SqliteUrl = settings.database_url.parse().map_err(|_| None)?;
    let repository =
        SqliteOrderRepository::open(&url, Arc::clone(&platform.ids)).map_err(|error| Some(error.into()))?;
    let (outbox, database) = (repository.outbox(), repository.database());
    Ok(Store {
        repository: Arc::new(repository),
        start_relay: Box::new(move |bus, stop| Box::pin(relay::run(outbox.clone(), bus, stop))),
        check: HealthCheck::critical("database", move || {
            let database = database.clone();
            async move { database.ping().await.map_err(|error| error_chain(&error)) }
        }),
        tasks: Vec::new(),
    })
}

#[cfg(feature = "postgres")]
async fn postgres(settings: &Settings, platform: &Platform) -> Result<Store, StoreUnusable> {
    use crate::adapters::persistence::postgres::PostgresOrderRepository;

    let repository = PostgresOrderRepository::new(&settings.database_url, Arc::clone(&platform.ids))?;
    let mut tasks = Vec::new();
    if !repository.database().prepare_soon().await? {
        let (database, stop) = (repository.database().clone(), platform.stop.clone());
        tasks.push(BackgroundTask::new("orders schema", move || {
            let (database, stop) = (database.clone(), stop.clone());
            async move { database.prepare_until(stop).await }
        }));
    }
    let (relayed, database) = (repository.clone(), repository.database().clone());
    Ok(Store {
        repository: Arc::new(repository),
        start_relay: Box::new(move |bus, stop| Box::pin(relay::run(relayed.outbox(), bus, stop))),
        check: HealthCheck::critical("database", move || {
            let database = database.clone();
            async move { database.ping().await.map_err(|error| error_chain(&error)) }
        }),
        tasks,
    })
}
