//! The service as its composition root builds it.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::ids::UuidV7Generator;
use contracts::timestamp::SystemClock;
use orders::bootstrap::{BootstrapError, build};
use orders::settings::Settings;
use service_kit::grpc::client::Neighbour;
use service_kit::grpc::local;
use service_kit::{Platform, Service};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The service on this database; its neighbours are away.
pub(crate) async fn built(
    folder: &TempDir,
    database_url: &str,
    stop: &CancellationToken,
) -> Result<Service, BootstrapError> {
    let neighbours = ["users", "inventory", "payment"].map(|name| (name, Neighbour::Local(local::pair().0)));
    let platform = Platform {
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidV7Generator),
        service_secret: "a secret of the tests".to_owned().into(),
        neighbours: HashMap::from(neighbours),
        stop: stop.clone(),
    };
    let broker = format!("sqlite://{}", folder.path().join("broker.db").display());
    let bus = messaging::connect(&broker, Arc::clone(&platform.clock)).await.unwrap();
    build(&Settings { database_url: database_url.to_owned() }, &platform, bus).await
}

#[tokio::test]
async fn an_engine_that_this_build_lacks_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let lacking = if cfg!(feature = "postgres") { "mysql" } else { "postgres" };
    let refused = built(&folder, &format!("{lacking}://db/orders"), &CancellationToken::new()).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("SOUK_ORDERS_DATABASE_URL") && error.contains(lacking), "{error}");
    let refused = built(&folder, "memory://orders", &CancellationToken::new()).await;
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("SOUK_ORDERS_DATABASE_URL") && error.contains("for tests alone"), "{error}");
}
