//! Composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::orders::orders_service_server::OrdersServiceServer;
use messaging::{BusError, Consumer, EventBus, EventHandler};
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::adapters::clients::inventory::GrpcInventory;
use crate::adapters::clients::payment::GrpcPayments;
use crate::api::consumers::payment_events::{self, PaymentEvents};
use crate::api::grpc::OrdersApi;
use crate::application::Ordering;
use crate::settings::Settings;

mod audit;
mod store;

pub use audit::audit;
pub use store::{StoreUnusable, outbox_status};

/// Why the service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store can't be had.
    #[error(transparent)]
    Store(#[from] StoreUnusable),
    /// A neighbour's address is missing.
    #[error(transparent)]
    Neighbour(#[from] UnknownNeighbour),
    /// The queue could not be declared.
    #[error("the event bus could not be subscribed to")]
    Bus(#[from] BusError),
}

/// The queues of its consumer groups.
pub const GROUPS: &[&str] = &[payment_events::QUEUE];

/// Puts the service together; nothing runs yet.
///
/// # Errors
/// [`BootstrapError`].
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    crate::metrics::announce();
    let store = store::open(settings, platform).await?;
    let released =
        store.repository.release_leases_of_the_dead(platform.clock.now()).await.map_err(StoreUnusable::Read)?;
    if released > 0 {
        tracing::info!(checkouts = released, "checkouts left behind by the last run will be taken up");
    }

    let identity = platform.identity("orders");
    let ordering = Ordering {
        repository: store.repository,
        inventory: Arc::new(GrpcInventory::new(platform.channel(&identity, "inventory")?)),
        payments: Arc::new(GrpcPayments::new(platform.channel(&identity, "payment")?)),
        clock: Arc::clone(&platform.clock),
        ids: Arc::clone(&platform.ids),
        instance: platform.ids.new_uuid().to_string().into(),
        running: TaskTracker::new(),
        due: Arc::new(Notify::new()),
    };

    let (stop, start_relay) = (platform.stop.clone(), store.start_relay);
    let relay_bus = Arc::clone(&bus);
    let relay = BackgroundTask::new("orders outbox relay", move || start_relay(Arc::clone(&relay_bus), stop.clone()));

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

    let user_tokens = platform.user_tokens(&identity)?;
    Ok(Service {
        name: "orders",
        routes: Routes::new(OrdersServiceServer::new(OrdersApi(ordering))),
        authenticator: platform.authenticator(&identity, user_tokens),
        tasks: [relay, consumer, resumer].into_iter().chain(store.tasks).collect(),
        checks: vec![store.check],
    })
}
