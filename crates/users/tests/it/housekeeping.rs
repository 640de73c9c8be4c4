//! Keys that change and rows that go while the service runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Clock as _;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::ManualClock;
use service_kit::auth::ACCESS_TOKEN_TTL;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use users::adapters::key_ring::{Ed25519KeyGenerator, KeyRing};
use users::adapters::persistence::sqlite::SqliteStore;
use users::application::end_session::MARGIN;
use users::application::forget_expired::ForgetExpired;
use users::application::ports::{AccessTokens as _, SigningKeyRepository as _};
use users::application::rotate_keys::{RotateKeys, SigningKeys};
use users::domain::PUBLISHED_BEFORE_USE;
use users::domain::session::SESSION_LIFE;
use users::domain::signing_key::ROTATE_AFTER;

use crate::helpers::{START, Souk};

fn keys_of(store: &SqliteStore, clock: &ManualClock) -> SigningKeys {
    SigningKeys {
        repository: Arc::new(store.clone()),
        generator: Arc::new(Ed25519KeyGenerator::new(Arc::new(UuidV7Generator))),
        clock: Arc::new(clock.clone()),
    }
}

fn kids(ring: &KeyRing, clock: &ManualClock) -> Vec<String> {
    ring.published(clock.now()).into_iter().map(|key| key.kid).collect()
}

#[tokio::test]
async fn a_due_key_gives_way_while_running_and_is_deleted_when_its_tokens_have_expired() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let clock = ManualClock::starting_at(START);
    let keys = keys_of(&store, &clock);
    let ring = Arc::new(KeyRing::new(&keys.current().await.unwrap(), Arc::new(clock.clone())).unwrap());
    let rotate = RotateKeys { keys, access_tokens: ring.clone() };
    let forget = ForgetExpired {
        sessions: Arc::new(store.clone()),
        keys: Arc::new(store.clone()),
        clock: Arc::new(clock.clone()),
    };
    let old = kids(&ring, &clock);
    rotate.execute().await.unwrap();
    assert_eq!(kids(&ring, &clock), old, "not due");

    clock.advance(ROTATE_AFTER);
    rotate.execute().await.unwrap();
    let both = kids(&ring, &clock);
    assert_eq!((both.len(), &both[1]), (2, &old[0]));

    clock.advance(PUBLISHED_BEFORE_USE + ACCESS_TOKEN_TTL + MARGIN);
    forget.execute().await.unwrap();
    assert_eq!(store.list().await.unwrap().len(), 2, "in doubt it is kept");
    clock.advance(Duration::from_millis(1));
    forget.execute().await.unwrap();
    let left: Vec<_> = store.list().await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(left, both[..1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_rotate_at_the_same_time_agree_on_one_key() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let clock = ManualClock::starting_at(START);
    let (a, b) = (keys_of(&store, &clock), keys_of(&store, &clock));
    for _ in 0..5 {
        let (a, b) = tokio::join!(a.current(), b.current());
        assert_eq!(a.unwrap().newest().kid, b.unwrap().newest().kid);
        clock.advance(PUBLISHED_BEFORE_USE + ROTATE_AFTER);
    }
    assert_eq!(store.list().await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_forgets_sessions_that_are_over() {
    let souk = Souk::start().await;
    souk.register("ada@example.org", "Ada").await;
    assert_eq!(souk.count_rows("refresh_tokens"), 1);
    souk.clock.advance(SESSION_LIFE);
    let souk = souk.restart().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while souk.count_rows("sessions") + souk.count_rows("refresh_tokens") > 0 {
        assert!(Instant::now() < deadline, "nothing was forgotten");
        tokio::task::yield_now().await;
    }
}
