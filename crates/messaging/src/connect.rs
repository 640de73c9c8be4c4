//! Picks the adapter by the scheme of the broker's address.

use std::sync::Arc;

use contracts::Clock;
use sqlite::SqliteUrl;

#[cfg(feature = "amqp")]
use crate::amqp::{AmqpBus, InvalidAmqpUrl};
use crate::bus::EventBus;
use crate::sqlite_bus::SqliteBus;

/// What this build has.
#[cfg(not(feature = "amqp"))]
const DRIVERS: &str = "sqlite://<file>";
/// What this build has.
#[cfg(feature = "amqp")]
const DRIVERS: &str = "sqlite://<file> and amqp://<host>";

/// Why no bus could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An engine that this build has no driver for.
    #[error("this build has no driver for {scheme}:// brokers; it has {DRIVERS}")]
    NotCompiledIn {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address is malformed.
    #[error("the broker's address is not valid")]
    InvalidUrl(#[from] sqlite::url::InvalidSqliteUrl),
    /// The address of a RabbitMQ broker is malformed.
    #[cfg(feature = "amqp")]
    #[error("the broker's address is not valid")]
    InvalidAmqpUrl(#[from] InvalidAmqpUrl),
    /// The file could not be opened.
    #[error("the broker could not be opened")]
    Open(#[from] sqlite::OpenError),
    /// The file was opened but not understood.
    #[error("the broker's queues could not be read")]
    Read(#[from] sqlite::StoreError),
}

/// Opens the bus that `url` names.
///
/// A RabbitMQ broker need not be there yet: the bus connects in the background, and goes on trying.
///
/// # Errors
/// [`ConnectError`]; it never falls back to another broker.
pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventBus>, ConnectError> {
    match url.split_once("://") {
        Some(("sqlite", _)) => Ok(Arc::new(SqliteBus::open(&url.parse::<SqliteUrl>()?, clock).await?)),
        #[cfg(feature = "amqp")]
        Some(("amqp", _)) => Ok(Arc::new(AmqpBus::open(url)?)),
        Some((scheme, _)) => Err(ConnectError::NotCompiledIn { scheme: scheme.to_owned() }),
        None => Err(ConnectError::InvalidUrl(sqlite::url::InvalidSqliteUrl)),
    }
}
