//! What happens between the steps of a use case.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::{SessionId, UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, Event, Role, Timestamp};
use sqlite::SqliteUrl;
use tempfile::TempDir;
use users::adapters::argon2_hasher::Argon2Hasher;
use users::adapters::key_ring::{Ed25519KeyGenerator, KeyRing};
use users::adapters::persistence::sqlite::SqliteStore;
use users::adapters::ring_refresh_tokens::RingRefreshTokens;
use users::application::UsersError;
use users::application::effects::Effects;
use users::application::events::EventFactory;
use users::application::issue_session::SessionIssuer;
use users::application::log_in::LogIn;
use users::application::ports::{
    NewSession, PasswordHasher as _, RepositoryError, Rotation, SessionEnd, SessionRepository,
    SigningKeyGenerator as _, UserChange, UserQuery, UserRepository,
};
use users::application::set_roles::SetRoles;
use users::domain::user::NewUser;
use users::domain::{
    BanReason, EmailAddress, KeySet, LoginThrottle, Password, PasswordHash, RefreshTokenHash, Revocation, Roles, User,
};

use crate::contract::{a_registration, new_user};
use crate::helpers::{PASSWORD, START};

/// A store to which something happens just before each change, and before each session begins.
struct Between {
    store: SqliteStore,
    before_change: Box<dyn Fn() + Send + Sync>,
    before_session: Mutex<Option<(UserId, UserChange)>>,
}

#[async_trait]
impl UserRepository for Between {
    async fn add(&self, user: User, session: Option<NewSession>, event: Event) -> Result<(), RepositoryError> {
        self.store.add(user, session, event).await
    }
    async fn find(&self, id: UserId) -> Result<Option<User>, RepositoryError> {
        self.store.find(id).await
    }
    async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, RepositoryError> {
        self.store.find_by_email(email).await
    }
    async fn list(&self, query: UserQuery) -> Result<Vec<User>, RepositoryError> {
        self.store.list(query).await
    }
    async fn change(&self, id: UserId, change: UserChange) -> Result<Option<User>, RepositoryError> {
        (self.before_change)();
        self.store.change(id, change).await
    }
    async fn count_seeded(&self) -> Result<u64, RepositoryError> {
        self.store.count_seeded().await
    }
}

#[async_trait]
impl SessionRepository for Between {
    async fn begin(&self, session: NewSession) -> Result<Option<User>, RepositoryError> {
        let change = self.before_session.lock().unwrap().take();
        if let Some((id, change)) = change {
            self.store.change(id, change).await?;
        }
        self.store.begin(session).await
    }
    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        successor: RefreshTokenHash,
        now: Timestamp,
        on_reuse: SessionEnd,
    ) -> Result<Rotation, RepositoryError> {
        self.store.rotate(presented, successor, now, on_reuse).await
    }
    async fn end(&self, presented: RefreshTokenHash, on_end: SessionEnd) -> Result<Option<SessionId>, RepositoryError> {
        self.store.end(presented, on_end).await
    }
    async fn list_revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, RepositoryError> {
        self.store.list_revocations(now).await
    }
    async fn forget_expired(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        self.store.forget_expired(now).await
    }
}

async fn ada(store: &SqliteStore, password_hash: PasswordHash) -> User {
    let user = User::register(NewUser { password_hash, ..new_user("ada") }, START);
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    user
}

/// Logs in while the user is changed between the check of the password and the beginning of the session.
async fn log_in_amid(change: UserChange) -> Result<Vec<Role>, UsersError> {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let clock = Arc::new(ManualClock::starting_at(START));
    let ids = Arc::new(UuidV7Generator);
    let hasher = Arc::new(Argon2Hasher::default());
    let user = ada(&store, hasher.hash(Password::parse(PASSWORD.to_owned()).unwrap()).await.unwrap()).await;
    let keys = KeySet::of(vec![Ed25519KeyGenerator::new(ids.clone()).generate(START)]).unwrap();
    let ring = Arc::new(KeyRing::new(&keys, clock.clone()).unwrap());
    let between =
        Between { store, before_change: Box::new(|| {}), before_session: Mutex::new(Some((user.id(), change))) };
    let between = Arc::new(between);
    let log_in = LogIn {
        users: between.clone(),
        sessions: between,
        hasher,
        issuer: SessionIssuer::new(ids, Arc::new(RingRefreshTokens::default()), ring.clone()),
        throttle: Mutex::new(LoginThrottle::default()),
        clock: clock.clone(),
    };
    let password = Password::attempt(PASSWORD.to_owned()).unwrap();
    let issued = log_in.execute(user.email().clone(), password).await?;
    let verifier = service_kit::auth::UserTokenVerifier::new(ring, clock);
    let token = verifier.verify(&issued.access_token).await.unwrap();
    assert!(token.issued_at >= issued.user.tokens_not_before(), "the token is not void from the beginning");
    Ok(token.roles.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_given_while_somebody_logs_in_are_those_of_the_token() {
    let change = Box::new(|user: &mut User| {
        user.set_roles(Roles::new([Role::Support]).unwrap(), START);
        Effects::none()
    });
    assert_eq!(log_in_amid(change).await.unwrap(), [Role::Support]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_while_somebody_logs_in_keeps_them_out() {
    let change = Box::new(|user: &mut User| {
        user.ban(BanReason::parse("spam").unwrap(), START);
        Effects::none()
    });
    assert!(matches!(log_in_amid(change).await, Err(UsersError::AccountBanned { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_roles_void_also_the_tokens_issued_while_the_change_waited_for_the_store() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&SqliteUrl::of(folder.path().join("users.db"))).unwrap();
    let user = ada(&store, PasswordHash::new("unused".to_owned())).await;
    let clock = ManualClock::starting_at(START);
    let waiting = clock.clone();
    let users = Arc::new(Between {
        store: store.clone(),
        before_change: Box::new(move || waiting.advance(Duration::from_secs(1))),
        before_session: Mutex::default(),
    });
    let ids = Arc::new(UuidV7Generator);
    let set_roles = SetRoles { users, events: EventFactory::new(ids), clock: Arc::new(clock.clone()) };
    let acting = new_user("admin").id;
    set_roles.execute(acting, user.id(), Roles::new([Role::Support]).unwrap()).await.unwrap();
    let revocations = store.list_revocations(START).await.unwrap();
    assert!(revocations[0].not_before > clock.now(), "{revocations:?}");
}
