//! The keys that sign access tokens.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::{SessionId, UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, Timestamp};
use messaging::sqlite_bus::SqliteBus;
use service_kit::auth::{UserTokenVerifier, VerificationKeys};
use sqlite::SqliteUrl;
use tempfile::TempDir;
use users::adapters::key_ring::{Ed25519KeyGenerator, KeyRing};
use users::adapters::persistence::sqlite::SqliteStore;
use users::application::ports::AccessTokens as _;
use users::application::rotate_keys::{RotateKeys, SigningKeys};
use users::domain::{PUBLISHED_BEFORE_USE, Roles};

use crate::helpers::{START, Souk, platform, user_of};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_sessions_and_keys_survive_a_restart() {
    let souk = Souk::start().await;
    let session = souk.register("ada@example.org", "Ada").await;
    let kids = souk.kids().await;
    assert_eq!(kids.len(), 1);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, kids);
    assert!(souk.get_user(&session.access_token, &user_of(&session).id).await.is_ok());
    souk.refresh(&session.refresh_token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_thirty_days_gives_way_at_the_next_start_and_stays_published_for_its_tokens() {
    let souk = Souk::start().await;
    let old = souk.kids().await;
    souk.clock.advance(DAY * 29);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, old, "not before its time");
    souk.clock.advance(DAY.saturating_sub(Duration::from_mins(1)));
    let session = souk.register("ada@example.org", "Ada").await;

    souk.clock.advance(Duration::from_mins(1));
    let souk = souk.restart().await;
    let kids = souk.kids().await;
    assert_eq!(kids.len(), 2);
    assert_eq!(kids[1], old[0]);
    souk.clock.advance(PUBLISHED_BEFORE_USE);
    assert!(souk.passes(&session.access_token).await, "signed by the key before");
    let refreshed = souk.refresh(&session.refresh_token).await.unwrap();
    assert!(souk.passes(&refreshed.access_token).await);
    souk.clock.advance(Duration::from_mins(16));
    assert_eq!(souk.kids().await, kids[..1]);
    let souk = souk.restart().await;
    assert_eq!(souk.kids().await, kids[..1]);
}

/// The keys of one replica of several that share a store.
struct Replica {
    ring: Arc<KeyRing>,
    rotate: RotateKeys,
    clock: ManualClock,
}

impl Replica {
    async fn start(store: &SqliteStore, clock: &ManualClock) -> Self {
        let keys = SigningKeys {
            repository: Arc::new(store.clone()),
            generator: Arc::new(Ed25519KeyGenerator::new(Arc::new(UuidV7Generator))),
            clock: Arc::new(clock.clone()),
        };
        let ring = Arc::new(KeyRing::new(&keys.current().await.unwrap(), Arc::new(clock.clone())).unwrap());
        Self { rotate: RotateKeys { keys, access_tokens: ring.clone() }, ring, clock: clock.clone() }
    }

    fn sign(&self) -> String {
        let ids = (UserId::from_uuid(uuid::Uuid::nil()), SessionId::from_uuid(uuid::Uuid::nil()));
        self.ring.sign(ids.0, ids.1, &Roles::customer(), self.clock.now())
    }

    /// Whether a token verifies with the keys that this replica publishes.
    async fn knows(&self, token: &str) -> bool {
        let keys = Arc::clone(&self.ring) as Arc<dyn VerificationKeys>;
        UserTokenVerifier::new(keys, Arc::new(self.clock.clone())).verify(token).await.is_ok()
    }

    fn newest(&self) -> String {
        self.ring.published(Timestamp::from_unix_ms(0))[0].kid.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_on_an_empty_store_agree_on_one_key() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let clock = ManualClock::starting_at(START);
    let replicas = futures::future::join_all((0..4).map(|_| Replica::start(&store, &clock))).await;
    for replica in &replicas {
        assert_eq!(replica.newest(), replicas[0].newest());
        assert!(replicas[0].knows(&replica.sign()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_signs_with_a_key_that_another_one_has_not_heard_of() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let clock = ManualClock::starting_at(START);
    let (one, other) = (Replica::start(&store, &clock).await, Replica::start(&store, &clock).await);
    let first = one.newest();
    clock.advance(DAY * 30);
    one.rotate.execute().await.unwrap();
    assert_ne!(one.newest(), first, "published at once");
    assert!(other.knows(&one.sign()).await, "and not used yet: the other looks only now and then");
    clock.advance(PUBLISHED_BEFORE_USE.saturating_sub(Duration::from_millis(1)));
    other.rotate.execute().await.unwrap();
    assert_eq!(other.newest(), one.newest(), "it makes none of its own");
    let last_of_the_old = one.sign();
    clock.advance(Duration::from_millis(1));
    let first_of_the_new = one.sign();
    assert_eq!(
        [&last_of_the_old, &first_of_the_new].map(|token| token.split('.').next() == one.sign().split('.').next()),
        [false, true],
        "the new one signs when its time has come"
    );
    assert!(other.knows(&last_of_the_old).await && other.knows(&first_of_the_new).await);
}

#[tokio::test]
async fn an_engine_that_this_build_lacks_is_named_with_its_setting() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::starting_at(START);
    let platform = platform(&clock);
    for (url, named) in [
        ("postgres://host/users", "postgres://"),
        ("memory://users", "for tests alone"),
        ("users.db", "not valid"),
        ("sqlite://", "not valid"),
    ] {
        let bus =
            SqliteBus::open(&SqliteUrl::of(folder.path().join("broker.db")), Arc::new(clock.clone())).await.unwrap();
        let settings = users::settings::Settings { database_url: url.to_owned() };
        let Err(error) = users::bootstrap::build(&settings, &platform, Arc::new(bus)).await else {
            panic!("{url} was accepted");
        };
        let message = error.to_string();
        assert!(message.contains("SOUK_USERS_DATABASE_URL") && message.contains(named), "{message}");
    }
}
