//! The composition root: the only place that names concrete adapters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::grpc::users::users_service_server::UsersServiceServer;
use messaging::outbox::OutboxSource;
use messaging::outbox_status::SqliteOutboxStatus;
use messaging::{EventBus, OutboxStatusSource};
use observability::HealthCheck;
use observability::logs::error_chain;
use service_kit::backoff::Backoff;
use service_kit::store_url::{UnknownEngine, scheme};
use service_kit::{BackgroundTask, Platform, Service, startup};
use sqlite::SqliteUrl;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::adapters::argon2_hasher::Argon2Hasher;
use crate::adapters::key_ring::{Ed25519KeyGenerator, KeyRing};
#[cfg(feature = "mongodb")]
use crate::adapters::persistence::mongo::MongoStore;
use crate::adapters::persistence::sqlite::SqliteStore;
use crate::adapters::ring_refresh_tokens::RingRefreshTokens;
use crate::api::grpc::UsersGrpc;
use crate::application::ban_user::BanUser;
use crate::application::events::EventFactory;
use crate::application::forget_expired::ForgetExpired;
use crate::application::issue_session::SessionIssuer;
use crate::application::log_in::LogIn;
use crate::application::log_out::LogOut;
use crate::application::ports::{
    AccessTokens, PasswordHasher, RefreshTokens, RepositoryError, SessionRepository, SigningKeyRepository, UnusableKey,
    UserRepository,
};
use crate::application::queries::Queries;
use crate::application::refresh_session::RefreshSession;
use crate::application::register::Register;
use crate::application::rotate_keys::{RotateKeys, RotateKeysError, SigningKeys};
use crate::application::seed_account::SeedAccount;
use crate::application::set_roles::SetRoles;
use crate::application::unban_user::UnbanUser;
use crate::application::update_user::UpdateUser;
use crate::domain::{KeySet, LoginThrottle};
use crate::settings::{DATABASE_URL, Settings};

mod audit;

pub use audit::audit;

/// The service's name.
pub const NAME: &str = "users";
/// Longest request: every field is short.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// The stores that this build can use.
const ENGINES: &str =
    if cfg!(feature = "mongodb") { "sqlite://<file> or mongodb://<hosts>/<database>" } else { "sqlite://<file>" };
/// How often keys are looked at and what is over is forgotten.
const HOUSEKEEPING_EVERY: Duration = Duration::from_hours(24);
/// The same where replicas share a store: a key that another one made must be published here well before it signs
/// ([`crate::domain::PUBLISHED_BEFORE_USE`]).
#[cfg(feature = "mongodb")]
const SHARED_KEYS_EVERY: Duration = Duration::from_secs(10);
/// Waits for a store that is away.
const STORE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(2) };
/// Wait after housekeeping failed.
const HOUSEKEEPING_RETRY: Duration = Duration::from_mins(1);

/// Why the service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An engine that there is no adapter for.
    #[error(transparent)]
    UnknownEngine(#[from] UnknownEngine),
    /// The address is malformed.
    #[error("{DATABASE_URL} is not valid")]
    InvalidUrl(#[source] sqlite::url::InvalidSqliteUrl),
    /// The address of a MongoDB database is malformed.
    #[cfg(feature = "mongodb")]
    #[error("{DATABASE_URL} is not valid")]
    InvalidMongoUrl(#[source] messaging::mongo::InvalidMongoUrl),
    /// The database could not be opened.
    #[error("the database of {DATABASE_URL} could not be opened")]
    Open(#[source] sqlite::OpenError),
    /// There is no key to sign access tokens with.
    #[error("no signing key could be had")]
    Keys(#[source] RotateKeysError),
    /// A stored signing key is none.
    #[error("a stored signing key can't be used")]
    UnusableKey(#[source] UnusableKey),
}

/// The store's ports, and what of it runs beside the calls.
struct Stores {
    users: Arc<dyn UserRepository>,
    sessions: Arc<dyn SessionRepository>,
    keys: Arc<dyn SigningKeyRepository>,
    relay: BackgroundTask,
    check: HealthCheck,
    /// How often to look for keys that other replicas made.
    housekeeping_every: Duration,
}

/// Builds the service: opens its store, makes a signing key if there is none or the newest is due. While a store in another
/// process is away it waits, and says why.
///
/// # Errors
/// [`BootstrapError`], naming the setting at fault.
pub async fn build(
    settings: &Settings,
    platform: &Platform,
    bus: Arc<dyn EventBus>,
) -> Result<Service, BootstrapError> {
    let stores = open_stores(&settings.database_url, &bus, &platform.stop).await?;
    let signing_keys = SigningKeys {
        repository: Arc::clone(&stores.keys),
        generator: Arc::new(Ed25519KeyGenerator::new(Arc::clone(&platform.ids))),
        clock: Arc::clone(&platform.clock),
    };
    let keys = first_keys(&signing_keys, platform).await?;
    let ring = Arc::new(KeyRing::new(&keys, Arc::clone(&platform.clock)).map_err(BootstrapError::UnusableKey)?);

    let identity = platform.identity(NAME);
    let authenticator = platform.authenticator(&identity, platform.user_tokens_with(Arc::clone(&ring) as _));
    let api = use_cases(&stores, Arc::clone(&ring) as _, platform);
    let server = UsersServiceServer::new(api).max_decoding_message_size(MAX_REQUEST_BYTES);

    let rotate = RotateKeys { keys: signing_keys, access_tokens: ring };
    let forget = ForgetExpired { sessions: stores.sessions, keys: stores.keys, clock: Arc::clone(&platform.clock) };
    Ok(Service {
        name: NAME,
        routes: Routes::new(server),
        authenticator,
        tasks: vec![
            stores.relay,
            housekeeping(Arc::new(rotate), Arc::new(forget), stores.housekeeping_every, platform.stop.clone()),
        ],
        checks: vec![stores.check, broker_check(bus)],
    })
}

#[cfg_attr(
    not(feature = "mongodb"),
    expect(clippy::unused_async, reason = "an address of MongoDB is read asynchronously")
)]
async fn open_stores(url: &str, bus: &Arc<dyn EventBus>, stop: &CancellationToken) -> Result<Stores, BootstrapError> {
    match scheme(url) {
        Some("sqlite") => open_sqlite(url, bus, stop),
        #[cfg(feature = "mongodb")]
        Some("mongodb") => open_mongo(url, bus, stop).await,
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
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
            let status = messaging::mongo::MongoOutboxStatus::open(url, NAME).await;
            Ok(Arc::new(status.map_err(BootstrapError::InvalidMongoUrl)?))
        }
        _ => Err(UnknownEngine::new(DATABASE_URL, url, ENGINES).into()),
    }
}

fn open_sqlite(url: &str, bus: &Arc<dyn EventBus>, stop: &CancellationToken) -> Result<Stores, BootstrapError> {
    let url: SqliteUrl = url.parse().map_err(BootstrapError::InvalidUrl)?;
    let store = SqliteStore::open(&url).map_err(BootstrapError::Open)?;
    tracing::info!(path = %url.path().display(), "accounts are kept in SQLite");
    let ping = store.clone();
    Ok(Stores {
        users: Arc::new(store.clone()),
        sessions: Arc::new(store.clone()),
        keys: Arc::new(store.clone()),
        relay: relay(store.outbox(), Arc::clone(bus), stop.clone()),
        check: HealthCheck::critical("database", move || {
            let store = ping.clone();
            async move { store.ping().await.map_err(|error| error_chain(&error)) }
        }),
        housekeeping_every: HOUSEKEEPING_EVERY,
    })
}

#[cfg(feature = "mongodb")]
async fn open_mongo(url: &str, bus: &Arc<dyn EventBus>, stop: &CancellationToken) -> Result<Stores, BootstrapError> {
    let store = MongoStore::open(url).await.map_err(BootstrapError::InvalidMongoUrl)?;
    tracing::info!("accounts are kept in MongoDB");
    let ping = store.clone();
    Ok(Stores {
        users: Arc::new(store.clone()),
        sessions: Arc::new(store.clone()),
        keys: Arc::new(store.clone()),
        relay: relay(store.outbox(), Arc::clone(bus), stop.clone()),
        check: HealthCheck::critical("database", move || {
            let store = ping.clone();
            async move { store.ping().await.map_err(|error| error_chain(&error)) }
        }),
        housekeeping_every: SHARED_KEYS_EVERY,
    })
}

/// The keys of the store. A store that is away is waited for; a key that makes no sense is not.
async fn first_keys(keys: &SigningKeys, platform: &Platform) -> Result<KeySet, BootstrapError> {
    let mut failures = 0;
    loop {
        match keys.current().await {
            Err(RotateKeysError::Store(error @ RepositoryError::Unavailable(_))) if !platform.stop.is_cancelled() => {
                failures += 1;
                startup::waits_for(format!("the store of {DATABASE_URL}: {}", error_chain(&error)));
                tracing::warn!(error = %error_chain(&error), "not ready: {DATABASE_URL} can't be used, trying again");
                let entropy = u64::from_be_bytes(*platform.ids.new_uuid().as_bytes().last_chunk().expect("16 bytes"));
                let wait = STORE_BACKOFF.wait(failures, entropy);
                let _ = tokio::time::timeout(wait, platform.stop.cancelled()).await;
            }
            outcome => return outcome.map_err(BootstrapError::Keys),
        }
    }
}

fn use_cases(stores: &Stores, access_tokens: Arc<dyn AccessTokens>, platform: &Platform) -> UsersGrpc {
    let (users, sessions) = (Arc::clone(&stores.users), Arc::clone(&stores.sessions));
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Argon2Hasher::default());
    let tokens: Arc<dyn RefreshTokens> = Arc::new(RingRefreshTokens::default());
    let (clock, ids) = (Arc::clone(&platform.clock), Arc::clone(&platform.ids));
    let events = EventFactory::new(Arc::clone(&ids));
    let issuer = SessionIssuer::new(Arc::clone(&ids), Arc::clone(&tokens), Arc::clone(&access_tokens));
    UsersGrpc {
        register: Register {
            users: Arc::clone(&users),
            hasher: Arc::clone(&hasher),
            issuer: issuer.clone(),
            events: events.clone(),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        },
        log_in: LogIn {
            users: Arc::clone(&users),
            sessions: Arc::clone(&sessions),
            hasher: Arc::clone(&hasher),
            issuer: issuer.clone(),
            throttle: Mutex::new(LoginThrottle::default()),
            clock: Arc::clone(&clock),
        },
        refresh: RefreshSession {
            sessions: Arc::clone(&sessions),
            tokens: Arc::clone(&tokens),
            issuer,
            events: events.clone(),
            clock: Arc::clone(&clock),
        },
        log_out: LogOut { sessions: Arc::clone(&sessions), tokens, events: events.clone(), clock: Arc::clone(&clock) },
        update: UpdateUser { users: Arc::clone(&users), events: events.clone(), clock: Arc::clone(&clock) },
        ban: BanUser { users: Arc::clone(&users), events: events.clone(), clock: Arc::clone(&clock) },
        unban: UnbanUser { users: Arc::clone(&users), events: events.clone(), clock: Arc::clone(&clock) },
        set_roles: SetRoles { users: Arc::clone(&users), events: events.clone(), clock: Arc::clone(&clock) },
        seed: SeedAccount { users: Arc::clone(&users), hasher, events, clock: Arc::clone(&clock), ids },
        queries: Queries { users, sessions, access_tokens, clock },
    }
}

fn relay(
    outbox: impl OutboxSource + Clone + 'static,
    bus: Arc<dyn EventBus>,
    stop: CancellationToken,
) -> BackgroundTask {
    BackgroundTask::new("users outbox relay", move || {
        messaging::relay::run(outbox.clone(), Arc::clone(&bus), stop.clone())
    })
}

fn housekeeping(
    rotate: Arc<RotateKeys>,
    forget: Arc<ForgetExpired>,
    every: Duration,
    stop: CancellationToken,
) -> BackgroundTask {
    BackgroundTask::new("users housekeeping", move || {
        let (rotate, forget, stop) = (Arc::clone(&rotate), Arc::clone(&forget), stop.clone());
        async move {
            while !stop.is_cancelled() {
                let wait = if tidy(&rotate, &forget).await { every } else { HOUSEKEEPING_RETRY.min(every) };
                let _ = tokio::time::timeout(wait, stop.cancelled()).await;
            }
        }
    })
}

/// Whether all was done.
async fn tidy(rotate: &RotateKeys, forget: &ForgetExpired) -> bool {
    let rotated = rotate.execute().await;
    if let Err(error) = &rotated {
        tracing::error!(error = %error_chain(error), "signing keys could not be looked after");
    }
    let forgotten = forget.execute().await;
    if let Err(error) = &forgotten {
        tracing::warn!(error = %error_chain(error), "what is over could not be forgotten");
    }
    rotated.is_ok() && forgotten.is_ok()
}

/// Without the broker accounts work as ever; others only hear of it later.
fn broker_check(bus: Arc<dyn EventBus>) -> HealthCheck {
    HealthCheck::optional("broker", move || {
        let bus = Arc::clone(&bus);
        async move { bus.ping().await.map_err(|error| error_chain(&error)) }
    })
}
