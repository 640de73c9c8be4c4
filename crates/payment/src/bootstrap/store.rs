//! The payment store that the scheme of `SOUK_PAYMENT_DATABASE_URL` names.

use std::sync::Arc;

use futures::future::BoxFuture;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{EventBus, OutboxStatusSource, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::store_url::{UnknownEngine, scheme};
use service_kit::{BackgroundTask, Platform};
use sqlite::SqliteUrl;
use sqlite::url::InvalidSqliteUrl;
use tokio_util::sync::CancellationToken;

use super::BootstrapError;
use crate::adapters::persistence::sqlite::SqlitePaymentRepository;
use crate::application::ports::PaymentRepository;
use crate::settings::DATABASE_URL;

/// What the database may be kept in.
#[cfg(not(feature = "postgres"))]
pub(super) const ENGINES: &str = "sqlite://<file>";
/// What the database may be kept in.
#[cfg(feature = "postgres")]
pub(super) const ENGINES: &str = "sqlite://<file> or postgres://<address>";

/// Begins to publish the store's events.
pub(super) type StartRelay = Box<dyn Fn(Arc<dyn EventBus>, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// A store and what it brings with it.
pub(super) struct Store {
    pub(super) repository: Arc<dyn PaymentRepository>,
    /// The file, if it is in one.
    pub(super) file: Option<SqliteUrl>,
    pub(super) start_relay: StartRelay,
    pub(super) check: HealthCheck,
    pub(super) tasks: Vec<BackgroundTask>,
}

#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "other engines connect here"))]
pub(super) async fn open(url: &str, platform: &Platform) -> Result<Store, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => {
            // A file needs nothing of the platform.
            let _ = platform;
            sqlite(url)
        }
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => postgres(url, platform).await,
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

/// How far the service's outbox is behind, read from its store alone: for operators, whether the service runs or not.
///
/// # Errors
/// When the address can't be used.
pub fn outbox_status(url: &str) -> Result<Arc<dyn OutboxStatusSource>, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => Ok(Arc::new(SqliteOutboxStatus::new(&sqlite_url(DATABASE_URL, url)?))),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let status = messaging::postgres::PostgresOutboxStatus::new(url)
                .map_err(|source| BootstrapError::InvalidUrl { setting: DATABASE_URL, source: Box::new(source) })?;
            Ok(Arc::new(status))
        }
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

pub(super) fn sqlite_url(setting: &'static str, text: &str) -> Result<SqliteUrl, BootstrapError> {
    text.parse().map_err(|source: InvalidSqliteUrl| BootstrapError::InvalidUrl { setting, source: Box::new(source) })
}

fn sqlite(url: &str) -> Result<Store, BootstrapError> {
    let file = sqlite_url(DATABASE_URL, url)?;
    let repository = SqlitePaymentRepository::open_file(&file)
        .map_err(|source| BootstrapError::Open { setting: DATABASE_URL, source: Box::new(source) })?;
    tracing::info!(database = %file, "payments are kept in a file");
    let (outbox, pinged) = (repository.outbox().clone(), repository.clone());
    Ok(Store {
        repository: Arc::new(repository),
        file: Some(file),
        start_relay: Box::new(move |bus, stop| Box::pin(relay::run(outbox.clone(), bus, stop))),
        check: HealthCheck::critical("database", move || {
            let store = pinged.clone();
            async move { store.ping().await.map_err(|error| error_chain(&error)) }
        }),
        tasks: Vec::new(),
    })
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, platform: &Platform) -> Result<Store, BootstrapError> {
    use crate::adapters::persistence::postgres::PostgresPaymentRepository;

    let repository = PostgresPaymentRepository::new(url)
        .map_err(|source| BootstrapError::InvalidUrl { setting: DATABASE_URL, source: Box::new(source) })?;
    let tasks = prepared(repository.database(), "payment.schema", DATABASE_URL, platform).await?;
    let (relayed, database) = (repository.clone(), repository.database().clone());
    Ok(Store {
        repository: Arc::new(repository),
        file: None,
        start_relay: Box::new(move |bus, stop| Box::pin(relay::run(relayed.outbox(), bus, stop))),
        check: HealthCheck::critical("database", move || {
            let database = database.clone();
            async move { database.ping().await.map_err(|error| error_chain(&error)) }
        }),
        tasks,
    })
}

/// Brings the schema up to date, or returns the task that will when the server is there.
#[cfg(feature = "postgres")]
pub(super) async fn prepared(
    database: &messaging::postgres::Database,
    task: &'static str,
    setting: &'static str,
    platform: &Platform,
) -> Result<Vec<BackgroundTask>, BootstrapError> {
    if database.prepare_soon().await.map_err(|source| BootstrapError::Schema { setting, source })? {
        return Ok(Vec::new());
    }
    let (database, stop) = (database.clone(), platform.stop.clone());
    Ok(vec![BackgroundTask::new(task, move || {
        let (database, stop) = (database.clone(), stop.clone());
        async move { database.prepare_until(stop).await }
    })])
}
