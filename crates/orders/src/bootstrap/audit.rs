//! The facts of the order store that an address names, for an audit.

use std::sync::Arc;

use sqlite::SqliteUrl;

use super::StoreUnusable;
use crate::adapters::persistence::sqlite_audit::SqliteOrderAudit;
use crate::application::audit::OrderAudit;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`StoreUnusable`].
pub fn audit(url: &str) -> Result<Arc<dyn OrderAudit>, StoreUnusable> {
    let scheme = url.split("://").next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            Ok(Arc::new(crate::adapters::persistence::postgres_audit::PostgresOrderAudit::new(url)?))
        }
        _ => {
            let url: SqliteUrl = url.parse().map_err(|_| StoreUnusable::Engine { scheme: scheme.to_owned() })?;
            Ok(Arc::new(SqliteOrderAudit::open(&url)?))
        }
    }
}
