//! The facts of the account store that an address names, for an audit.

use std::sync::Arc;

use service_kit::store_url::{UnknownEngine, scheme};
use sqlite::SqliteUrl;

use super::{BootstrapError, ENGINES};
use crate::adapters::persistence::sqlite::SqliteUserAudit;
use crate::application::audit::UserAudit;
use crate::settings::DATABASE_URL;

/// Opens the store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`BootstrapError`].
pub async fn audit(url: &str) -> Result<Arc<dyn UserAudit>, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => {
            let url: SqliteUrl = url.parse().map_err(BootstrapError::InvalidUrl)?;
            Ok(Arc::new(SqliteUserAudit::open(&url).map_err(BootstrapError::Open)?))
        }
        #[cfg(feature = "mongodb")]
        Some("mongodb") => {
            let store = crate::adapters::persistence::mongo::MongoUserAudit::open(url).await;
            Ok(Arc::new(store.map_err(BootstrapError::InvalidMongoUrl)?))
        }
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}
