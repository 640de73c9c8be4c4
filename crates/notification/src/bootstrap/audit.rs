//! The facts of the store that an address names, for an audit.

use std::sync::Arc;

use service_kit::store_url::{UnknownEngine, scheme};
use sqlite::SqliteUrl;

use super::{BootstrapError, ENGINES};
use crate::adapters::persistence::sqlite::SqliteNotificationAudit;
use crate::application::audit::NotificationAudit;
use crate::settings::Settings;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`BootstrapError`].
pub async fn audit(url: &str) -> Result<Arc<dyn NotificationAudit>, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => {
            let url: SqliteUrl = url.parse().map_err(BootstrapError::InvalidUrl)?;
            Ok(Arc::new(SqliteNotificationAudit::open(&url).map_err(BootstrapError::Open)?))
        }
        #[cfg(feature = "mongodb")]
        Some("mongodb") => {
            let store = crate::adapters::persistence::mongo::MongoNotificationAudit::open(url).await;
            Ok(Arc::new(store.map_err(BootstrapError::InvalidMongoUrl)?))
        }
        _ => Err(UnknownEngine::new(Settings::DATABASE_URL, url, ENGINES).into()),
    }
}
