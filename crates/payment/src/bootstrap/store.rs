//! The payment store that the scheme of `SOUK_PAYMENT_DATABASE_URL` names.

use std::sync::Arc;

use futures::future::BoxFuture;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{EventBus, OutboxStatusSource, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::{BackgroundTask, Platform};
use sqlite::SqliteUrl;
use tokio_util::sync::CancellationToken;

use super::{BootstrapError, sqlite_url};
use crate::adapters::persistence::sqlite::SqlitePaymentRepository;
use crate::application::ports::PaymentRepository;
use crate::settings::DATABASE_URL;

/// What the database may be kept in.
#[cfg(not(feature = "postgres"))]
pub(super) const ENGINES: &str = "sqlite://<file>";
/// What the database may be kept in.
#[cfg(feature = "postgres")]
pub(super) const ENGINES: &str = "sqlite://<file> and postgres://<address>";

/// Begins to publish the store's events.
pub(super) type StartRelay = Box<dyn Fn(Arc<dyn EventBus>, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// A store and what it brings with it.
pub(super) struct Store {
    pub(super) repository: Arc<dyn PaymentRepository>,
    /// Where it is, if it is a file.
    pub(super) file: Option<SqliteUrl>,
    pub(super) start_relay: StartRelay,
    pub(super) check: HealthCheck,
    pub(super) tasks: Vec<BackgroundTask>,
}

#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "other engines connect here"))]
pub(super) async fn open(url: &str, platform: &Platform) -> Result<Store, BootstrapError> {
    match url.split("://").next().unwrap_or_default() {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres(url, platform).await,
        _ => {
            // A file needs nothing of the platform.
            let _ = platform;
            sqlite(url)
        }
    }
}

/// How far the service's outbox is behind, read from its store alone: for operators, whether the service runs or not.
///
/// # Errors
/// When the address can't be used.
pub fn outbox_status(url: &str) -> Result<Arc<dyn OutboxStatusSource>, BootstrapError> {
    match url.split("://").next().unwrap_or_default() {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let status = messaging::postgres::PostgresOutboxStatus::new(url)
                .map_err(|source| BootstrapError::InvalidUrl { setting: DATABASE_URL, source: Box::new(source) })?;
            Ok(Arc::new(status))
        }
        _ => Ok(Arc::new(SqliteOutboxStatus::new(&sqlite_url(DATABASE_URL, url)?))),
    }
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
    let mut tasks = Vec::new();
    if !repository.database().prepare_soon().await? {
        let (database, stop) = (repository.database().clone(), platform.stop.clone());
        tasks.push(BackgroundTask::new("payment.schema", move || {
            let (database, stop) = (database.clone(), stop.clone());
            async move { database.prepare_until(stop).await }
        }));
    }
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
