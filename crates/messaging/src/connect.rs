//! Picks the adapter by the scheme of the broker's address.

use std::sync::Arc;

use contracts::Clock;
use sqlite::SqliteUrl;

use crate::bus::EventBus;
use crate::sqlite_bus::SqliteBus;

/// Why no bus could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An engine that this build has no driver for.
    #[error("this build has no driver for {scheme}:// brokers; it has sqlite://<file>")]
    NotCompiledIn {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address is malformed.
    #[error("the broker's address is not valid")]
    InvalidUrl(#[from] sqlite::url::InvalidSqliteUrl),
    /// The file could not be opened.
    #[error("the broker could not be opened")]
    Open(#[from] sqlite::OpenError),
    /// The file was opened but not understood.
    #[error("the broker's queues could not be read")]
    Read(#[from] sqlite::StoreError),
}

/// Opens the bus that `url` names.
///
/// # Errors
/// [`ConnectError`]; it never falls back to another broker.
pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn EventBus>, ConnectError> {
    match url.split_once("://") {
        Some(("sqlite", _)) => Ok(Arc::new(SqliteBus::open(&url.parse::<SqliteUrl>()?, clock).await?)),
        Some((scheme, _)) => Err(ConnectError::NotCompiledIn { scheme: scheme.to_owned() }),
        None => Err(ConnectError::InvalidUrl(sqlite::url::InvalidSqliteUrl)),
    }
}
