//! The order store that the scheme of `SOUK_ORDERS_DATABASE_URL` names.

use std::sync::Arc;

use futures::future::BoxFuture;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{EventBus, OutboxStatusSource, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::store_url::{UnknownEngine, scheme};
use service_kit::{BackgroundTask, Platform};
use sqlite::url::InvalidSqliteUrl;
use sqlite::{OpenError, SqliteUrl};
use tokio_util::sync::CancellationToken;

use crate::adapters::persistence::sqlite::SqliteOrderRepository;
use crate::application::ports::{OrderRepository, RepositoryError};
use crate::settings::{DATABASE_URL, Settings};

/// Why there is no order store.
#[derive(Debug, thiserror::Error)]
pub enum StoreUnusable {
    /// An engine that there is no adapter for.
    #[error(transparent)]
    UnknownEngine(#[from] UnknownEngine),
    /// The store could not be opened.
    #[error("the order store could not be opened")]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error("the order store could not be read")]
    Read(#[source] RepositoryError),
    /// The address is malformed.
    #[error("{DATABASE_URL} is not valid")]
    InvalidUrl(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The schema is of another build.
    #[cfg(feature = "postgres")]
    #[error("the order store does not fit this build")]
    Schema(#[from] messaging::postgres::migration::MigrationError),
}

#[cfg(not(feature = "postgres"))]
pub(super) const ENGINES: &str = "sqlite://<file>";
#[cfg(feature = "postgres")]
pub(super) const ENGINES: &str = "sqlite://<file> or postgres://<address>";

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
    let url = settings.database_url.as_str();
    match scheme(url) {
        Some("sqlite") => sqlite(url, platform),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => postgres(url, platform).await,
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

/// How far the service's outbox is behind, read from its store alone: for operators, whether the service runs or not.
///
/// # Errors
/// [`StoreUnusable`] when the address can't be used.
pub fn outbox_status(url: &str) -> Result<Arc<dyn OutboxStatusSource>, StoreUnusable> {
    match scheme(url) {
        Some("sqlite") => Ok(Arc::new(SqliteOutboxStatus::new(&sqlite_url(url)?))),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let status = messaging::postgres::PostgresOutboxStatus::new(url);
            Ok(Arc::new(status.map_err(|error| StoreUnusable::InvalidUrl(Box::new(error)))?))
        }
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

fn sqlite_url(url: &str) -> Result<SqliteUrl, StoreUnusable> {
    url.parse().map_err(|error| StoreUnusable::InvalidUrl(Box::<InvalidSqliteUrl>::new(error)))
}

fn sqlite(url: &str, platform: &Platform) -> Result<Store, StoreUnusable> {
    let url = sqlite_url(url)?;
    let repository = SqliteOrderRepository::open(&url, Arc::clone(&platform.ids))?;
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
async fn postgres(url: &str, platform: &Platform) -> Result<Store, StoreUnusable> {
    use crate::adapters::persistence::postgres::PostgresOrderRepository;

    let repository = PostgresOrderRepository::new(url, Arc::clone(&platform.ids))
        .map_err(|error| StoreUnusable::InvalidUrl(Box::new(error)))?;
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
