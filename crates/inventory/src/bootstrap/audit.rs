//! The facts of the store that an address names, for an audit.

use std::sync::Arc;

use super::{BootstrapError, DatabaseUrl, database_url};
use crate::adapters::persistence::sqlite::SqliteInventoryAudit;
use crate::application::audit::InventoryAudit;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`BootstrapError`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn audit(url: &str) -> Result<Arc<dyn InventoryAudit>, BootstrapError> {
    match database_url(url)? {
        DatabaseUrl::Sqlite(url) => Ok(Arc::new(SqliteInventoryAudit::open(&url).map_err(BootstrapError::Open)?)),
        #[cfg(feature = "redis")]
        DatabaseUrl::Redis(url) => {
            let store = crate::adapters::persistence::redis::RedisInventoryAudit::open(&url);
            Ok(Arc::new(store.map_err(BootstrapError::OpenRedis)?))
        }
    }
}
