//! The composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::payment::payment_service_server::PaymentServiceServer;
use messaging::EventBus;
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::platform::UnknownNeighbour;
use service_kit::store_url::UnknownEngine;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::OpenError;
use tonic::service::Routes;

use crate::api::grpc::PaymentApi;
use crate::api::reconciler;
use crate::application::charge::ChargeOrder;
use crate::application::get_payment::GetPayment;
use crate::application::outcomes::OutcomeRecorder;
use crate::application::ports::PaymentProvider;
use crate::application::reconcile::ReconcilePayments;
use crate::application::refund::RefundPayment;
use crate::application::wake::WakeSignal;
use crate::settings::{DATABASE_URL, PROVIDER, SANDBOX_URL, Settings};

mod audit;
mod provider;
mod store;

pub use audit::{audit, sandbox_audit};
use provider::Provider;
use store::StartRelay;
pub use store::outbox_status;

/// The service's name: in tokens, events and logs.
pub const NAME: &str = "payment";

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that there is no adapter for.
    #[error(transparent)]
    UnknownEngine(#[from] UnknownEngine),
    /// An address that is malformed.
    #[error("{setting} is not valid")]
    InvalidUrl {
        /// Which setting.
        setting: &'static str,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The schema is of another build.
    #[cfg(feature = "postgres")]
    #[error("the database named by {setting} does not fit this build")]
    Schema {
        /// Which setting.
        setting: &'static str,
        /// What is wrong.
        #[source]
        source: messaging::postgres::migration::MigrationError,
    },
    /// The sandbox's books are Souk's own.
    #[error("{SANDBOX_URL} and {DATABASE_URL} name one file: the provider keeps books of its own")]
    SharedFile,
    /// A provider that there is no adapter for.
    #[error("{PROVIDER}: there is no payment provider '{name}'; there is 'sandbox'")]
    UnknownProvider {
        /// The name asked for.
        name: String,
    },
    /// A file could not be opened.
    #[error("the file named by {setting} could not be opened")]
    Open {
        /// Which setting.
        setting: &'static str,
        /// What happened.
        #[source]
        source: Box<OpenError>,
    },
    /// A neighbour that nobody said where to find.
    #[error(transparent)]
    Neighbour(#[from] UnknownNeighbour),
}

/// Builds the service.
///
/// # Errors
/// [`BootstrapError`]; it never falls back to another store or provider.
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let store = store::open(&settings.database_url, platform).await?;
    let repository = store.repository;
    let Provider { provider, tasks: provider_tasks } = provider::open(settings, store.file.as_ref(), platform).await?;
    tracing::info!(provider = provider.name(), "payment adapters picked");

    let wake = WakeSignal::default();
    let outcomes = OutcomeRecorder {
        repository: Arc::clone(&repository),
        clock: Arc::clone(&platform.clock),
        ids: Arc::clone(&platform.ids),
        schedule: settings.retry_schedule,
    };
    let api = PaymentApi {
        charge: ChargeOrder { provider: Arc::clone(&provider), outcomes: outcomes.clone(), wake: wake.clone() },
        get_payment: GetPayment { repository },
        refund: RefundPayment { provider: Arc::clone(&provider), outcomes: outcomes.clone(), wake: wake.clone() },
    };
    let reconcile = ReconcilePayments { provider: Arc::clone(&provider), outcomes };

    let identity = platform.identity(NAME);
    let authenticator = platform.authenticator(&identity, platform.user_tokens(&identity)?);
    Ok(Service {
        name: NAME,
        routes: Routes::new(PaymentServiceServer::new(api)),
        authenticator,
        tasks: [relay_task(store.start_relay, bus, platform), reconciler_task(reconcile, wake, platform)]
            .into_iter()
            .chain(store.tasks)
            .chain(provider_tasks)
            .collect(),
        checks: vec![store.check, provider_check(provider)],
    })
}

fn relay_task(start_relay: StartRelay, bus: Arc<dyn EventBus>, platform: &Platform) -> BackgroundTask {
    let stop = platform.stop.clone();
    BackgroundTask::new("payment.relay", move || start_relay(Arc::clone(&bus), stop.clone()))
}

fn reconciler_task(reconcile: ReconcilePayments, wake: WakeSignal, platform: &Platform) -> BackgroundTask {
    let (clock, stop) = (Arc::clone(&platform.clock), platform.stop.clone());
    BackgroundTask::new("payment.reconciler", move || {
        reconciler::run(reconcile.clone(), wake.clone(), Arc::clone(&clock), stop.clone())
    })
}

/// Without the provider payments become unknown and are settled later: the service still serves.
fn provider_check(provider: Arc<dyn PaymentProvider>) -> HealthCheck {
    HealthCheck::optional("provider", move || {
        let provider = Arc::clone(&provider);
        async move { provider.ping().await.map_err(|error| error_chain(&error)) }
    })
}
