//! The composition root: the only place that names concrete adapters.

use std::path::Path;
use std::sync::Arc;

use contracts::grpc::notification::chat_service_server::ChatServiceServer;
use contracts::grpc::notification::notification_service_server::NotificationServiceServer;
use messaging::outbox::OutboxSource;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{BusError, Consumer, EventBus, EventHandler, OutboxStatusSource};
use observability::HealthCheck;
use service_kit::platform::UnknownNeighbour;
use service_kit::store_url::{UnknownEngine, scheme};
use service_kit::{BackgroundTask, Platform, Service};
use sqlite::SqliteUrl;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::adapters::clients::users::GrpcUserDirectory;
#[cfg(feature = "mongodb")]
use crate::adapters::persistence::mongo::MongoStore;
use crate::adapters::persistence::sqlite::SqliteStore;
use crate::api::consumers::{self, Events};
use crate::api::grpc::NotificationApi;
use crate::api::grpc::chat::ChatApi;
use crate::application::MailSignal;
use crate::application::acknowledge::Acknowledge;
use crate::application::chat::ports::ChatRepository;
use crate::application::deliver_emails::DeliverEmails;
use crate::application::forget_contact::ForgetContact;
use crate::application::forget_old::ForgetOld;
use crate::application::mark_read::MarkRead;
use crate::application::ports::{
    ContactRepository, EmailQueue, Housekeeping, InboxRepository, PreferenceRepository, UserDirectory,
};
use crate::application::preferences::Preferences;
use crate::application::queries::Queries;
use crate::application::record_order_event::RecordOrderEvent;
use crate::settings::{EmailUrl, Settings};

mod audit;
mod mail;

pub use audit::audit;

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that there is no adapter for.
    #[error(transparent)]
    UnknownEngine(#[from] UnknownEngine),
    /// The address of the store is malformed.
    #[error("{} is not valid", Settings::DATABASE_URL)]
    InvalidUrl(#[source] sqlite::url::InvalidSqliteUrl),
    /// The address of a MongoDB database is malformed.
    #[cfg(feature = "mongodb")]
    #[error("{} is not valid", Settings::DATABASE_URL)]
    InvalidMongoUrl(#[source] messaging::mongo::InvalidMongoUrl),
    /// There is no file beside which emails could go.
    #[cfg(feature = "mongodb")]
    #[error("{} must say where emails go: the store is no file that they could lie beside", Settings::EMAIL_URL)]
    NoPlaceForEmails,
    /// The mail server can't be used as the settings want it.
    #[cfg(feature = "smtp")]
    #[error("{} can't be used", Settings::EMAIL_URL)]
    Mail(#[source] crate::adapters::mail::smtp::SmtpTlsError),
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

/// The queues of its consumer groups.
pub const GROUPS: &[&str] = &[consumers::QUEUE];

/// The stores that this build can use.
const ENGINES: &str =
    if cfg!(feature = "mongodb") { "sqlite://<file> or mongodb://<hosts>/<database>" } else { "sqlite://<file>" };

/// The store's ports, and what of it runs beside the calls.
struct Stores {
    inbox: Arc<dyn InboxRepository>,
    preferences: Arc<dyn PreferenceRepository>,
    contacts: Arc<dyn ContactRepository>,
    emails: Arc<dyn EmailQueue>,
    housekeeping: Arc<dyn Housekeeping>,
    chat: Arc<dyn ChatRepository>,
    relay: BackgroundTask,
    check: HealthCheck,
    mail: EmailUrl,
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
    let stores = open_stores(settings, platform, &bus).await?;
    let identity = platform.identity("notification");
    let authenticator = platform.authenticator(&identity, platform.user_tokens(&identity)?);
    let signal = Arc::new(MailSignal::default());
    let directory: Arc<dyn UserDirectory> = Arc::new(GrpcUserDirectory::new(platform.channel(&identity, "users")?));
    let emails = Arc::new(DeliverEmails {
        queue: stores.emails,
        contacts: Arc::clone(&stores.contacts),
        directory: Arc::clone(&directory),
        mailer: mail::mailer(stores.mail, settings.email_from.clone())?,
        clock: Arc::clone(&platform.clock),
        signal: Arc::clone(&signal),
    });
    let forget_old = Arc::new(ForgetOld::new(stores.housekeeping, Arc::clone(&platform.clock)));
    let api = NotificationApi {
        queries: Arc::new(Queries::new(Arc::clone(&stores.inbox))),
        acknowledge: Arc::new(Acknowledge::new(Arc::clone(&stores.inbox))),
        mark_read: Arc::new(MarkRead::new(Arc::clone(&stores.inbox), Arc::clone(&platform.clock))),
        preferences: Arc::new(Preferences::new(stores.preferences)),
    };
    let chat = ChatApi::new(&stores.chat, directory, &platform.clock, &platform.ids);
    let events = Arc::new(Events {
        orders: Arc::new(RecordOrderEvent::new(
            stores.inbox,
            Arc::clone(&platform.clock),
            Arc::clone(&platform.ids),
            signal,
        )),
        users: Arc::new(ForgetContact::new(stores.contacts)),
    });
    let consumer = Consumer::declare(&bus, consumers::subscription()).await.map_err(BootstrapError::Subscribe)?;

    let stop = &platform.stop;
    let checks = vec![stores.check, broker_check(bus)];
    let tasks = vec![
        stores.relay,
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
    let routes = Routes::new(NotificationServiceServer::new(api)).add_service(ChatServiceServer::new(chat));
    Ok(Service { name: "notification", routes, authenticator, tasks, checks })
}

#[cfg_attr(
    not(feature = "mongodb"),
    expect(clippy::unused_async, reason = "an address of MongoDB is read asynchronously")
)]
async fn open_stores(
    settings: &Settings,
    platform: &Platform,
    bus: &Arc<dyn EventBus>,
) -> Result<Stores, BootstrapError> {
    match scheme(&settings.database_url) {
        Some("sqlite") => open_sqlite(settings, platform, bus),
        #[cfg(feature = "mongodb")]
        Some("mongodb") => open_mongo(settings, platform, bus).await,
        _ => Err(UnknownEngine::new(Settings::DATABASE_URL, &settings.database_url, ENGINES).into()),
    }
}

/// How far the service's outbox is behind, read from its store alone: for operators, whether the service runs or not.
///
/// # Errors
/// When the address can't be used.
#[cfg_attr(
    not(feature = "mongodb"),
    expect(clippy::unused_async, reason = "an address of MongoDB is read asynchronously")
)]
pub async fn outbox_status(url: &str) -> Result<Arc<dyn OutboxStatusSource>, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => Ok(Arc::new(SqliteOutboxStatus::new(&url.parse().map_err(BootstrapError::InvalidUrl)?))),
        #[cfg(feature = "mongodb")]
        Some("mongodb") => {
            let status = messaging::mongo::MongoOutboxStatus::open(url, "notification").await;
            Ok(Arc::new(status.map_err(BootstrapError::InvalidMongoUrl)?))
        }
        _ => Err(UnknownEngine::new(Settings::DATABASE_URL, url, ENGINES).into()),
    }
}

fn open_sqlite(settings: &Settings, platform: &Platform, bus: &Arc<dyn EventBus>) -> Result<Stores, BootstrapError> {
    let url: SqliteUrl = settings.database_url.parse().map_err(BootstrapError::InvalidUrl)?;
    let store = Arc::new(SqliteStore::open(&url, Arc::clone(&platform.ids)).map_err(BootstrapError::Open)?);
    let mail = settings.email_url.clone().unwrap_or_else(|| beside(url.path()));
    tracing::info!(store = "sqlite", path = %url.path().display(), "notification store opened");
    let ping = Arc::clone(&store);
    Ok(Stores {
        relay: relay_task(store.outbox(), bus, &platform.stop),
        check: HealthCheck::critical("database", move || {
            let store = Arc::clone(&ping);
            async move { store.ping().await.map_err(|error| error.to_string()) }
        }),
        mail,
        inbox: store.clone(),
        preferences: store.clone(),
        contacts: store.clone(),
        emails: store.clone(),
        housekeeping: store.clone(),
        chat: store,
    })
}

/// Asks no server: the store connects when it is used, and the health check says what is wrong until then.
#[cfg(feature = "mongodb")]
async fn open_mongo(
    settings: &Settings,
    platform: &Platform,
    bus: &Arc<dyn EventBus>,
) -> Result<Stores, BootstrapError> {
    let store = MongoStore::open(&settings.database_url, Arc::clone(&platform.ids)).await;
    let store = Arc::new(store.map_err(BootstrapError::InvalidMongoUrl)?);
    let mail = settings.email_url.clone().ok_or(BootstrapError::NoPlaceForEmails)?;
    tracing::info!(store = "mongodb", "notification store chosen");
    let ping = Arc::clone(&store);
    Ok(Stores {
        relay: relay_task(store.outbox(), bus, &platform.stop),
        check: HealthCheck::critical("database", move || {
            let store = Arc::clone(&ping);
            async move { store.ping().await.map_err(|error| observability::logs::error_chain(&error)) }
        }),
        mail,
        inbox: store.clone(),
        preferences: store.clone(),
        contacts: store.clone(),
        emails: store.clone(),
        housekeeping: store.clone(),
        chat: store,
    })
}

fn beside(database: &Path) -> EmailUrl {
    EmailUrl::Folder(database.parent().unwrap_or(Path::new("")).join("mail"))
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

fn relay_task(
    outbox: impl OutboxSource + Clone + 'static,
    bus: &Arc<dyn EventBus>,
    stop: &CancellationToken,
) -> BackgroundTask {
    let bus = Arc::clone(bus);
    task("notification relay", stop, move |stop| messaging::relay::run(outbox.clone(), Arc::clone(&bus), stop))
}

fn consumer_task(consumer: Arc<Consumer>, handler: Arc<dyn EventHandler>, stop: &CancellationToken) -> BackgroundTask {
    task("notification consumer", stop, move |stop| Arc::clone(&consumer).run(Arc::clone(&handler), stop))
}

/// Optional: what is in the inboxes can be read while the broker is away.
fn broker_check(bus: Arc<dyn EventBus>) -> HealthCheck {
    HealthCheck::optional("broker", move || {
        let bus = Arc::clone(&bus);
        async move { bus.ping().await.map_err(|error| error.to_string()) }
    })
}
