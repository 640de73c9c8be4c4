//! The facts of the order store that an address names, for an audit.

use std::sync::Arc;

use service_kit::store_url::{UnknownEngine, scheme};
use sqlite::SqliteUrl;
use sqlite::url::InvalidSqliteUrl;

use super::StoreUnusable;
use super::store::ENGINES;
use crate::adapters::persistence::sqlite_audit::SqliteOrderAudit;
use crate::application::audit::OrderAudit;
use crate::settings::DATABASE_URL;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`StoreUnusable`].
pub fn audit(url: &str) -> Result<Arc<dyn OrderAudit>, StoreUnusable> {
    match scheme(url) {
        Some("sqlite") => {
            let url: SqliteUrl =
                url.parse().map_err(|error| StoreUnusable::InvalidUrl(Box::<InvalidSqliteUrl>::new(error)))?;
            Ok(Arc::new(SqliteOrderAudit::open(&url)?))
        }
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let store = crate::adapters::persistence::postgres_audit::PostgresOrderAudit::new(url);
            Ok(Arc::new(store.map_err(|error| StoreUnusable::InvalidUrl(Box::new(error)))?))
        }
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}
