//! The facts of the stores that addresses name, for an audit.

use std::sync::Arc;

use service_kit::store_url::{UnknownEngine, scheme};

use super::BootstrapError;
use super::store::{ENGINES, sqlite_url};
use crate::adapters::persistence::sqlite_audit::SqliteAudit;
use crate::application::audit::{PaymentAudit, ProviderAudit};
use crate::settings::{DATABASE_URL, SANDBOX_URL};

/// Opens the payment store for reading alone; its scheme picks the engine. One behind a network is asked nothing yet.
///
/// # Errors
/// [`BootstrapError`].
pub fn audit(url: &str) -> Result<Arc<dyn PaymentAudit>, BootstrapError> {
    match scheme(url) {
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let store = crate::adapters::persistence::postgres_audit::PostgresAudit::payments(url);
            Ok(Arc::new(store.map_err(|error| invalid(DATABASE_URL, error))?))
        }
        Some("sqlite") => Ok(Arc::new(file(DATABASE_URL, url)?)),
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

/// Opens the sandbox provider's books for reading alone.
///
/// # Errors
/// [`BootstrapError`].
pub fn sandbox_audit(url: &str) -> Result<Arc<dyn ProviderAudit>, BootstrapError> {
    match scheme(url) {
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let store = crate::adapters::persistence::postgres_audit::PostgresAudit::sandbox(url);
            Ok(Arc::new(store.map_err(|error| invalid(SANDBOX_URL, error))?))
        }
        Some("sqlite") => Ok(Arc::new(file(SANDBOX_URL, url)?)),
        _ => Err(UnknownEngine::new(SANDBOX_URL, url, ENGINES).into()),
    }
}

fn file(setting: &'static str, url: &str) -> Result<SqliteAudit, BootstrapError> {
    SqliteAudit::open(&sqlite_url(setting, url)?)
        .map_err(|source| BootstrapError::Open { setting, source: Box::new(source) })
}

#[cfg(feature = "postgres")]
fn invalid(setting: &'static str, source: messaging::postgres::InvalidPostgresUrl) -> BootstrapError {
    BootstrapError::InvalidUrl { setting, source: Box::new(source) }
}
