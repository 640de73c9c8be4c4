//! What a flood of guesses costs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::Clock as _;
use contracts::ids::UuidV7Generator;
use contracts::timestamp::ManualClock;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use users::adapters::key_ring::{Ed25519KeyGenerator, KeyRing};
use users::adapters::persistence::sqlite::SqliteStore;
use users::adapters::ring_refresh_tokens::RingRefreshTokens;
use users::application::UsersError;
use users::application::issue_session::SessionIssuer;
use users::application::log_in::LogIn;
use users::application::ports::{HashingError, PasswordHasher, SigningKeyGenerator as _};
use users::domain::login_throttle::MAX_FAILURES;
use users::domain::{KeySet, LoginThrottle, Password, PasswordHash};

use crate::helpers::START;

/// Finds every password wrong and counts how many it looked at.
#[derive(Default)]
struct Doubter(AtomicUsize);

#[async_trait]
impl PasswordHasher for Doubter {
    async fn hash(&self, _: Password) -> Result<PasswordHash, HashingError> {
        Err(HashingError::Busy)
    }
    async fn verify(&self, _: Password, _: Option<PasswordHash>) -> Result<bool, HashingError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(false)
    }
}

#[tokio::test]
async fn a_guess_that_is_not_heard_costs_no_hash() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap());
    let (clock, ids) = (Arc::new(ManualClock::starting_at(START)), Arc::new(UuidV7Generator));
    let keys = KeySet::of(vec![Ed25519KeyGenerator::new(ids.clone()).generate(clock.now())]).unwrap();
    let ring = Arc::new(KeyRing::new(&keys, clock.clone()).unwrap());
    let hasher = Arc::new(Doubter::default());
    let log_in = LogIn {
        users: store.clone(),
        sessions: store,
        hasher: hasher.clone(),
        issuer: SessionIssuer::new(ids, Arc::new(RingRefreshTokens::default()), ring),
        throttle: Mutex::new(LoginThrottle::default()),
        clock,
    };
    for attempt in 0..MAX_FAILURES * 2 {
        let password = Password::attempt("guess".to_owned()).unwrap();
        let refused = log_in.execute("ada@example.org".parse().unwrap(), password).await.unwrap_err();
        let is_heard = matches!(refused, UsersError::InvalidCredentials);
        assert_eq!(is_heard, attempt < MAX_FAILURES, "{attempt}: {refused}");
    }
    assert_eq!(hasher.0.load(Ordering::SeqCst), MAX_FAILURES);
}
