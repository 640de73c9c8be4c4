//! Picks the adapter by the scheme of the broker's address.

use std::sync::Arc;

use contracts::Clock;
use sqlite::SqliteUrl;

#[cfg(feature = "amqp")]
use crate::amqp::{AmqpBus, InvalidAmqpUrl};
use crate::bus::EventBus;
use crate::dead_letters::DeadLetters;
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
    /// A broker in memory would lose what it has confirmed.
    #[error("a broker in memory loses every message with its process and is for tests alone; this build has {DRIVERS}")]
    InMemory,
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
    Ok(open(url, clock).await?.bus)
}

/// A broker with all its ports.
#[derive(Clone)]
pub struct Broker {
    /// For services.
    pub bus: Arc<dyn EventBus>,
    /// For operators.
    pub dead_letters: Arc<dyn DeadLetters>,
}

/// Like [`connect`], with the operator's port.
///
/// # Errors
/// As [`connect`].
pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Broker, ConnectError> {
    match url.split_once("://") {
        Some(("sqlite", _)) => {
            let bus = SqliteBus::open(&url.parse::<SqliteUrl>()?, clock).await?;
            Ok(Broker { dead_letters: Arc::new(bus.dead_letters()), bus: Arc::new(bus) })
        }
        #[cfg(feature = "amqp")]
        Some(("amqp", _)) => {
            let bus = AmqpBus::open(url, clock)?;
            Ok(Broker { dead_letters: Arc::new(bus.dead_letters()), bus: Arc::new(bus) })
        }
        Some(("memory", _)) => Err(ConnectError::InMemory),
        Some((scheme, _)) => Err(ConnectError::NotCompiledIn { scheme: scheme.to_owned() }),
        None => Err(ConnectError::InvalidUrl(sqlite::url::InvalidSqliteUrl)),
    }
}
