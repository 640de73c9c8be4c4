//! Composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::orders::orders_service_server::OrdersServiceServer;
use messaging::{BusError, Consumer, EventBus, EventHandler, relay};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::{OpenError, SqliteUrl};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::adapters::clients::inventory::GrpcInventory;
use crate::adapters::clients::payment::GrpcPayments;
use crate::adapters::persistence::sqlite::SqliteOrderRepository;
use crate::api::consumers::payment_events::{self, PaymentEvents};
use crate::api::grpc::OrdersApi;
use crate::application::Ordering;
use crate::application::ports::{OrderRepository as _, RepositoryError};
use crate::settings::Settings;

/// Why the service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The database address is malformed or names an engine this build lacks.
    #[error("SOUK_ORDERS_DATABASE_URL: this build keeps orders in sqlite://<file>; '{scheme}' is not available")]
    Engine {
        /// What it named instead.
        scheme: String,
    },
    /// The store could not be opened.
    #[error("the order store could not be opened")]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error("the order store could not be read")]
    Store(#[from] RepositoryError),
    /// A neighbour's address is missing.
    #[error(transparent)]
    Neighbour(#[from] UnknownNeighbour),
    /// The queue could not be declared.
    #[error("the event bus could not be subscribed to")]
    Bus(#[from] BusError),
}

/// Puts the service together; nothing runs yet.
///
/// # Errors
/// [`BootstrapError`].
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let url: SqliteUrl = settings.database_url.parse().map_err(|_| BootstrapError::Engine {
        scheme: settings.database_url.split("://").next().unwrap_or_default().to_owned(),
    })?;
    let repository = SqliteOrderRepository::open(&url, Arc::clone(&platform.ids))?;
    let released = repository.release_leases_of_the_dead(platform.clock.now()).await?;
    if released > 0 {
        tracing::info!(checkouts = released, "checkouts left behind by the last run will be taken up");
    }

    let identity = platform.identity("orders");
    let ordering = Ordering {
        repository: Arc::new(repository.clone()),
        inventory: Arc::new(GrpcInventory::new(platform.channel(&identity, "inventory")?)),
        payments: Arc::new(GrpcPayments::new(platform.channel(&identity, "payment")?)),
        clock: Arc::clone(&platform.clock),
        ids: Arc::clone(&platform.ids),
        instance: platform.ids.new_uuid().to_string().into(),
        running: TaskTracker::new(),
        due: Arc::new(Notify::new()),
    };

    let (stop, outbox, relay_bus) = (platform.stop.clone(), repository.outbox(), Arc::clone(&bus));
    let relay = BackgroundTask::new("orders outbox relay", move || {
        relay::run(outbox.clone(), Arc::clone(&relay_bus), stop.clone())
    });

    let payment_events = Consumer::declare(&bus, payment_events::subscription()).await?;
    let (stop, handler) = (platform.stop.clone(), Arc::new(PaymentEvents(ordering.clone())));
    let consumer = BackgroundTask::new("orders payment events", move || {
        Arc::clone(&payment_events).run(Arc::clone(&handler) as Arc<dyn EventHandler>, stop.clone())
    });

    let (stop, resuming) = (platform.stop.clone(), ordering.clone());
    let resumer = BackgroundTask::new("orders saga resumer", move || {
        let (resuming, stop) = (resuming.clone(), stop.clone());
        async move {
            resuming.resume_until(stop).await;
            // Checkouts in work go on to a written step before the process ends; what is not done is taken up later.
            resuming.running.close();
            resuming.running.wait().await;
        }
    });

    let database = repository.database();
    let check = HealthCheck::critical("database", move || {
        let database = database.clone();
        async move { database.ping().await.map_err(|error| error_chain(&error)) }
    });

    let user_tokens = platform.user_tokens(&identity)?;
    Ok(Service {
        name: "orders",
        routes: Routes::new(OrdersServiceServer::new(OrdersApi(ordering))),
        authenticator: platform.authenticator(&identity, user_tokens),
        tasks: vec![relay, consumer, resumer],
        checks: vec![check],
    })
}
