//! The facts of the store that an address names, for an audit.

use std::sync::Arc;

use sqlite::SqliteUrl;

use super::BootstrapError;
use crate::adapters::persistence::sqlite::SqliteNotificationAudit;
use crate::application::audit::NotificationAudit;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`BootstrapError`].
pub async fn audit(url: &str) -> Result<Arc<dyn NotificationAudit>, BootstrapError> {
    match url.split_once("://") {
        #[cfg(feature = "mongodb")]
        Some(("mongodb", _)) => {
            let store = crate::adapters::persistence::mongo::MongoNotificationAudit::open(url).await;
            Ok(Arc::new(store.map_err(BootstrapError::InvalidMongoUrl)?))
        }
        Some((scheme, _)) if scheme != "sqlite" => Err(BootstrapError::NotCompiledIn { scheme: scheme.to_owned() }),
        _ => {
            let url: SqliteUrl = url.parse().map_err(BootstrapError::InvalidUrl)?;
            Ok(Arc::new(SqliteNotificationAudit::open(&url).map_err(BootstrapError::Open)?))
        }
    }
}
