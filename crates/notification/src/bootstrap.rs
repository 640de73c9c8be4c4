//! The composition root: the only place that names concrete adapters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use contracts::grpc::notification::notification_service_server::NotificationServiceServer;
use messaging::{BusError, Consumer, EventBus, EventHandler};
use observability::HealthCheck;
use service_kit::platform::UnknownNeighbour;
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::SqliteUrl;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::adapters::clients::users::GrpcUserDirectory;
use crate::adapters::mail::file::FileMailer;
use crate::adapters::persistence::sqlite::SqliteStore;
use crate::api::consumers::{self, Events};
use crate::api::grpc::NotificationApi;
use crate::application::MailSignal;
use crate::application::deliver_emails::DeliverEmails;
use crate::application::forget_old::ForgetOld;
use crate::application::mark_read::MarkRead;
use crate::application::preferences::Preferences;
use crate::application::queries::Queries;
use crate::application::record_order_event::RecordOrderEvent;
use crate::application::record_user::RecordUser;
use crate::settings::{EmailUrl, Settings};

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store is of an engine that this build has no driver for.
    #[error("{}: this build has no driver for {scheme}:// stores; it has sqlite://<file>", Settings::DATABASE_URL)]
    NotCompiledIn {
        /// The scheme asked for.
        scheme: String,
    },
    /// The address of the store is malformed.
    #[error("{} is not valid", Settings::DATABASE_URL)]
    InvalidUrl(#[source] sqlite::url::InvalidSqliteUrl),
    /// The store could not be opened.
    #[error("{}: the store could not be opened", Settings::DATABASE_URL)]
    Open(#[source] sqlite::OpenError),
    /// A service that is needed has no address.
    #[error(transparent)]
    Neighbour(#[from] UnknownNeighbour),
    /// The queue could not be declared.
    #[error("the queue {} could not be declared", consumers::QUEUE)]
    Subscribe(#[source] BusError),
}

/// Builds the service. On return its queue is declared: events published from then on reach it.
///
/// # Errors
/// [`BootstrapError`]; it never falls back to another store.
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let url = store_url(&settings.database_url)?;
    let store = Arc::new(SqliteStore::open(&url, Arc::clone(&platform.ids)).map_err(BootstrapError::Open)?);
    let mail_folder = match &settings.email_url {
        Some(EmailUrl::Folder(folder)) => folder.clone(),
        None => beside(url.path()),
    };
    tracing::info!(store = "sqlite", path = %url.path().display(), mail = %mail_folder.display(), "notification store opened");

    let identity = platform.identity("notification");
    let authenticator = platform.authenticator(&identity, platform.user_tokens(&identity)?);
    let signal = Arc::new(MailSignal::default());
    let emails = Arc::new(DeliverEmails {
        queue: store.clone(),
        contacts: store.clone(),
        directory: Arc::new(GrpcUserDirectory::new(platform.channel(&identity, "users")?)),
        mailer: Arc::new(FileMailer::new(mail_folder, settings.email_from.clone())),
        clock: Arc::clone(&platform.clock),
        signal: Arc::clone(&signal),
    });
    let forget_old = Arc::new(ForgetOld::new(store.clone(), Arc::clone(&platform.clock)));
    let api = NotificationApi {
        queries: Arc::new(Queries::new(store.clone())),
        mark_read: Arc::new(MarkRead::new(store.clone(), Arc::clone(&platform.clock))),
        preferences: Arc::new(Preferences::new(store.clone())),
    };
    let events = Arc::new(Events {
        orders: Arc::new(RecordOrderEvent::new(
            store.clone(),
            Arc::clone(&platform.clock),
            Arc::clone(&platform.ids),
            signal,
        )),
        users: Arc::new(RecordUser::new(store.clone())),
    });
    let consumer = Consumer::declare(&bus, consumers::subscription()).await.map_err(BootstrapError::Subscribe)?;

    let stop = &platform.stop;
    let checks = vec![database_check(Arc::clone(&store)), broker_check(Arc::clone(&bus))];
    let tasks = vec![
        relay_task(&store, bus, stop.clone()),
        consumer_task(consumer, events, stop),
        task("notification emails", stop, move |stop| {
            let emails = Arc::clone(&emails);
            async move { emails.run(stop).await }
        }),
        task("notification housekeeping", stop, move |stop| {
            let forget_old = Arc::clone(&forget_old);
            async move { forget_old.run(stop).await }
        }),
    ];
    let routes = Routes::new(NotificationServiceServer::new(api));
    Ok(Service { name: "notification", routes, authenticator, tasks, checks })
}

fn store_url(url: &str) -> Result<SqliteUrl, BootstrapError> {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => Err(BootstrapError::NotCompiledIn { scheme: scheme.to_owned() }),
        _ => url.parse().map_err(BootstrapError::InvalidUrl),
    }
}

fn beside(database: &Path) -> PathBuf {
    database.parent().unwrap_or(Path::new("")).join("mail")
}

fn task<F>(
    name: &str,
    stop: &CancellationToken,
    run: impl Fn(CancellationToken) -> F + Send + Sync + 'static,
) -> BackgroundTask
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = stop.clone();
    BackgroundTask::new(name, move || run(stop.clone()))
}

fn relay_task(store: &SqliteStore, bus: Arc<dyn EventBus>, stop: CancellationToken) -> BackgroundTask {
    let outbox = store.outbox();
    task("notification relay", &stop, move |stop| messaging::relay::run(outbox.clone(), Arc::clone(&bus), stop))
}

fn consumer_task(consumer: Arc<Consumer>, handler: Arc<dyn EventHandler>, stop: &CancellationToken) -> BackgroundTask {
    task("notification consumer", stop, move |stop| Arc::clone(&consumer).run(Arc::clone(&handler), stop))
}

fn database_check(store: Arc<SqliteStore>) -> HealthCheck {
    HealthCheck::critical("database", move || {
        let store = Arc::clone(&store);
        async move { store.ping().await.map_err(|error| error.to_string()) }
    })
}

/// Optional: what is in the inboxes can be read while the broker is away.
fn broker_check(bus: Arc<dyn EventBus>) -> HealthCheck {
    HealthCheck::optional("broker", move || {
        let bus = Arc::clone(&bus);
        async move { bus.ping().await.map_err(|error| error.to_string()) }
    })
}
