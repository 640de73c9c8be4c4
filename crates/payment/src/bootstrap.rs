//! The composition root: the only place that names concrete adapters.

use std::sync::Arc;

use contracts::grpc::payment::payment_service_server::PaymentServiceServer;
use messaging::EventBus;
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::{OpenError, SqliteUrl};
use tonic::service::Routes;

use crate::adapters::persistence::sqlite::SqlitePaymentRepository;
use crate::adapters::providers::sandbox::SandboxProvider;
use crate::api::grpc::PaymentApi;
use crate::api::reconciler;
use crate::application::charge::ChargeOrder;
use crate::application::get_payment::GetPayment;
use crate::application::outcomes::OutcomeRecorder;
use crate::application::ports::{PaymentProvider, PaymentRepository};
use crate::application::reconcile::ReconcilePayments;
use crate::application::refund::RefundPayment;
use crate::application::wake::WakeSignal;
use crate::settings::{DATABASE_URL, PROVIDER, SANDBOX_URL, Settings};

/// The service's name: in tokens, events and logs.
pub const NAME: &str = "payment";

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that this build has no driver for.
    #[error("{setting}: this build has no driver for {scheme}:// databases; it has sqlite://<file>")]
    EngineNotCompiledIn {
        /// Which setting.
        setting: &'static str,
        /// The scheme asked for.
        scheme: String,
    },
    /// An address that is malformed.
    #[error("{setting} is not valid")]
    InvalidUrl {
        /// Which setting.
        setting: &'static str,
        /// What is wrong.
        #[source]
        source: sqlite::url::InvalidSqliteUrl,
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
#[expect(clippy::unused_async, reason = "other engines connect here")]
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let database_url = sqlite_url(DATABASE_URL, &settings.database_url)?;
    let store = SqlitePaymentRepository::open_file(&database_url)
        .map_err(|source| BootstrapError::Open { setting: DATABASE_URL, source: Box::new(source) })?;
    let repository: Arc<dyn PaymentRepository> = Arc::new(store.clone());
    let provider = provider(settings, &database_url, platform)?;
    tracing::info!(database = %database_url, provider = provider.name(), "payment adapters picked");

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
        tasks: vec![relay_task(&store, bus, platform), reconciler_task(reconcile, wake, platform)],
        checks: checks(store, provider),
    })
}

fn sqlite_url(setting: &'static str, text: &str) -> Result<SqliteUrl, BootstrapError> {
    match text.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => {
            Err(BootstrapError::EngineNotCompiledIn { setting, scheme: scheme.to_owned() })
        }
        _ => text.parse().map_err(|source| BootstrapError::InvalidUrl { setting, source }),
    }
}

fn provider(
    settings: &Settings,
    database_url: &SqliteUrl,
    platform: &Platform,
) -> Result<Arc<dyn PaymentProvider>, BootstrapError> {
    if settings.provider != SandboxProvider::NAME {
        return Err(BootstrapError::UnknownProvider { name: settings.provider.clone() });
    }
    let books_url = match &settings.sandbox_url {
        Some(text) => sqlite_url(SANDBOX_URL, text)?,
        None => SqliteUrl::of(database_url.path().with_file_name("sandbox.db")),
    };
    if books_url == *database_url {
        return Err(BootstrapError::SharedFile);
    }
    let (clock, ids) = (Arc::clone(&platform.clock), Arc::clone(&platform.ids));
    let sandbox = SandboxProvider::open(&books_url, clock, ids, settings.sandbox_timing)
        .map_err(|source| BootstrapError::Open { setting: SANDBOX_URL, source: Box::new(source) })?;
    Ok(Arc::new(sandbox))
}

fn relay_task(store: &SqlitePaymentRepository, bus: Arc<dyn EventBus>, platform: &Platform) -> BackgroundTask {
    let (outbox, stop) = (store.outbox().clone(), platform.stop.clone());
    BackgroundTask::new("payment.relay", move || messaging::relay::run(outbox.clone(), Arc::clone(&bus), stop.clone()))
}

fn reconciler_task(reconcile: ReconcilePayments, wake: WakeSignal, platform: &Platform) -> BackgroundTask {
    let (clock, stop) = (Arc::clone(&platform.clock), platform.stop.clone());
    BackgroundTask::new("payment.reconciler", move || {
        reconciler::run(reconcile.clone(), wake.clone(), Arc::clone(&clock), stop.clone())
    })
}

fn checks(store: SqlitePaymentRepository, provider: Arc<dyn PaymentProvider>) -> Vec<HealthCheck> {
    vec![
        HealthCheck::critical("database", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|error| error_chain(&error)) }
        }),
        // Without the provider payments become unknown and are settled later: the service still serves.
        HealthCheck::optional("provider", move || {
            let provider = Arc::clone(&provider);
            async move { provider.ping().await.map_err(|error| error_chain(&error)) }
        }),
    ]
}
