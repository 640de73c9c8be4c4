//! The payment provider that `SOUK_PAYMENT_PROVIDER` names, and where the sandbox keeps its books.

use std::sync::Arc;

use service_kit::store_url::{UnknownEngine, scheme};
use service_kit::{BackgroundTask, Platform};
use sqlite::SqliteUrl;

use super::BootstrapError;
use super::store::{ENGINES, sqlite_url};
use crate::adapters::providers::sandbox::SandboxProvider;
use crate::adapters::providers::sandbox_books::SandboxBooks;
use crate::adapters::providers::sandbox_books::sqlite::SqliteSandboxBooks;
use crate::application::ports::PaymentProvider;
use crate::settings::{SANDBOX_URL, Settings};

/// A provider and what it brings with it.
pub(super) struct Provider {
    pub(super) provider: Arc<dyn PaymentProvider>,
    pub(super) tasks: Vec<BackgroundTask>,
}

/// Books and what they bring with them.
type Books = (Arc<dyn SandboxBooks>, Vec<BackgroundTask>);

pub(super) async fn open(
    settings: &Settings,
    database: Option<&SqliteUrl>,
    platform: &Platform,
) -> Result<Provider, BootstrapError> {
    if settings.provider != SandboxProvider::NAME {
        return Err(BootstrapError::UnknownProvider { name: settings.provider.clone() });
    }
    let url = settings.sandbox_books_url();
    let (books, tasks) = books(&url, database, platform).await?;
    let (clock, ids) = (Arc::clone(&platform.clock), Arc::clone(&platform.ids));
    let provider = Arc::new(SandboxProvider::new(books, clock, ids, settings.sandbox_timing));
    Ok(Provider { provider, tasks })
}

#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "other engines connect here"))]
async fn books(url: &str, database: Option<&SqliteUrl>, platform: &Platform) -> Result<Books, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => {
            // A file needs nothing of the platform.
            let _ = platform;
            sqlite(url, database)
        }
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => postgres(url, platform).await,
        _ => Err(UnknownEngine::new(SANDBOX_URL, url, ENGINES).into()),
    }
}

fn sqlite(url: &str, database: Option<&SqliteUrl>) -> Result<Books, BootstrapError> {
    let file = sqlite_url(SANDBOX_URL, url)?;
    if database == Some(&file) {
        return Err(BootstrapError::SharedFile);
    }
    let books = SqliteSandboxBooks::open(&file)
        .map_err(|source| BootstrapError::Open { setting: SANDBOX_URL, source: Box::new(source) })?;
    Ok((Arc::new(books), Vec::new()))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, platform: &Platform) -> Result<Books, BootstrapError> {
    use crate::adapters::providers::sandbox_books::postgres::PostgresSandboxBooks;

    let books = PostgresSandboxBooks::new(url)
        .map_err(|source| BootstrapError::InvalidUrl { setting: SANDBOX_URL, source: Box::new(source) })?;
    let tasks = super::store::prepared(books.database(), "payment.sandbox_schema", SANDBOX_URL, platform).await?;
    Ok((Arc::new(books), tasks))
}
