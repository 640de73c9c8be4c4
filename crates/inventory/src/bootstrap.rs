//! The composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::inventory::inventory_service_server::InventoryServiceServer;
use messaging::{EventBus, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::url::InvalidSqliteUrl;
use sqlite::{OpenError, SqliteUrl};
use tonic::service::Routes;

use crate::adapters::persistence::sqlite::SqliteStore;
use crate::api::grpc::InventoryGrpc;
use crate::api::sweeper;
use crate::application::Inventory;
use crate::settings::{DATABASE_URL, Settings};

/// The service's name.
pub const NAME: &str = "inventory";

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that this build has no driver for.
    #[error("{DATABASE_URL} names a {scheme}:// database, for which this build has no driver; it has sqlite://<file>")]
    NotCompiledIn {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address is malformed.
    #[error("{DATABASE_URL} is not valid")]
    InvalidUrl(#[source] InvalidSqliteUrl),
    /// The database could not be opened.
    #[error("the inventory's database could not be opened")]
    Open(#[source] OpenError),
    /// Who verifies users' tokens is not known.
    #[error("users' tokens could not be verified")]
    Users(#[source] UnknownNeighbour),
}

/// Builds the service: opens its store, wires its use cases, and returns what is to be run.
///
/// # Errors
/// [`BootstrapError`]; it never falls back to another store.
#[expect(clippy::unused_async, reason = "services are built alike, and an engine behind a socket is connected to here")]
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let identity = platform.identity(NAME);
    let user_tokens = platform.user_tokens(&identity).map_err(BootstrapError::Users)?;
    let url = database_url(&settings.database_url)?;
    let store = SqliteStore::open(&url, Arc::clone(&platform.ids)).map_err(BootstrapError::Open)?;
    tracing::info!(engine = "sqlite", file = %url, "store opened");

    let database = store.ping();
    let broker = Arc::clone(&bus);
    let checks = vec![
        HealthCheck::critical("database", move || {
            let ping = database();
            async move { ping.await.map_err(|error| error_chain(&error)) }
        }),
        // Events wait in the outbox while the broker is away: orders can be served without it.
        HealthCheck::optional("broker", move || {
            let broker = Arc::clone(&broker);
            async move { broker.ping().await.map_err(|error| error_chain(&error)) }
        }),
    ];

    let inventory =
        Arc::new(Inventory::new(Arc::new(store.catalogue), Arc::new(store.reservations), Arc::clone(&platform.clock)));
    let (outbox, stop) = (store.outbox, platform.stop.clone());
    let relay =
        BackgroundTask::new("inventory.relay", move || relay::run(outbox.clone(), Arc::clone(&bus), stop.clone()));
    let (swept, stop) = (Arc::clone(&inventory), platform.stop.clone());
    let sweeper = BackgroundTask::new("inventory.sweeper", move || sweeper::run(Arc::clone(&swept), stop.clone()));

    Ok(Service {
        name: NAME,
        routes: Routes::new(InventoryServiceServer::new(InventoryGrpc::new(inventory))),
        authenticator: platform.authenticator(&identity, user_tokens),
        tasks: vec![relay, sweeper],
        checks,
    })
}

/// The scheme picks the engine.
fn database_url(url: &str) -> Result<SqliteUrl, BootstrapError> {
    match url.split_once("://") {
        Some(("sqlite", _)) | None => url.parse().map_err(BootstrapError::InvalidUrl),
        Some((scheme, _)) => Err(BootstrapError::NotCompiledIn { scheme: scheme.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_engine_and_others_are_refused_by_name() {
        assert!(database_url("sqlite://data/inventory.db").is_ok());
        let refused = database_url("redis://localhost:6379/0").unwrap_err().to_string();
        assert!(refused.contains(DATABASE_URL) && refused.contains("redis://"), "{refused}");
        assert!(matches!(database_url("inventory.db"), Err(BootstrapError::InvalidUrl(_))));
    }
}
