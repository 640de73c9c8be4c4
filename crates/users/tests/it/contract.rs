//! What every adapter of the stores must do: each case is written once and named for each adapter.

use std::sync::Arc;
use std::time::Duration;

use ::sqlite::SqliteUrl;
use contracts::event::EventHead;
use contracts::ids::{SessionId, UserId};
use contracts::{Event, Role, Timestamp};
use futures::future::BoxFuture;
use tempfile::TempDir;
use users::adapters::persistence::sqlite::SqliteStore;
use users::application::effects::{Effects, EndedSessions};
use users::application::ports::{
    NewSession, RepositoryError, Rotation, SessionEnd, SessionRepository, SigningKeyRepository, UserPosition,
    UserQuery, UserRepository,
};
use users::domain::session::SESSION_LIFE;
use users::domain::user::NewUser;
use users::domain::{
    BanReason, PasswordHash, PersonName, RefreshTokenHash, Revocation, Roles, Session, SigningKey, User,
};
use uuid::Uuid;

use crate::helpers::START;

const SECOND: Duration = Duration::from_secs(1);

/// The ports, filled by one adapter over a fresh store.
pub(crate) struct Stores {
    pub(crate) users: Arc<dyn UserRepository>,
    pub(crate) sessions: Arc<dyn SessionRepository>,
    pub(crate) keys: Arc<dyn SigningKeyRepository>,
    /// The types of all events kept, oldest first.
    pub(crate) events: Events,
    _owned: Box<dyn Send>,
}

type Events = Box<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>;

impl Stores {
    /// The ports of a store in `_owned`, which is dropped at the end.
    pub(crate) fn of<S>(store: S, events: Events, owned: impl Send + 'static) -> Self
    where
        S: UserRepository + SessionRepository + SigningKeyRepository + 'static,
    {
        let store = Arc::new(store);
        Self { users: store.clone(), sessions: store.clone(), keys: store, events, _owned: Box::new(owned) }
    }
}

pub(crate) fn sqlite_in_tempdir() -> Stores {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.db");
    let store = SqliteStore::open(&SqliteUrl::of(&path)).unwrap();
    let events = move || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut statement = connection.prepare("SELECT type FROM outbox JOIN events USING (position)").unwrap();
        let types = statement.query_map([], |row| row.get(0)).unwrap();
        let types = types.collect::<Result<Vec<String>, _>>().unwrap();
        Box::pin(async { types }) as BoxFuture<'static, _>
    };
    Stores::of(store, Box::new(events), folder)
}

/// Gives each case a named test for an adapter, with an attribute of that adapter.
macro_rules! store_contract {
    ($adapter:ident, $stores:expr, $attribute:meta; $($case:ident)*) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[$attribute]
                async fn $case() {
                    super::$case($stores.await).await;
                }
            )*
        }
    };
}

macro_rules! every_case {
    ($($header:tt)*) => {
        store_contract! { $($header)*;
            an_added_user_is_found_as_they_were_added
            an_address_has_one_account_and_the_refused_one_leaves_nothing_behind
            of_many_adding_one_address_at_once_one_succeeds
            a_change_is_kept_with_its_events_revocation_and_ended_sessions
            a_change_that_changed_nothing_leaves_nothing_behind
            changes_at_the_same_time_are_all_kept
            nobody_can_not_be_changed
            users_of_one_moment_are_paged_without_gap_or_repetition
            a_search_takes_what_is_typed_literally_whatever_its_case
            seeded_accounts_alone_are_counted
            a_banned_user_begins_no_session
            a_token_rotates_once_and_the_second_use_ends_the_session
            of_many_presenting_one_token_at_once_one_rotates_it
            an_expired_session_is_not_refreshed
            ending_a_session_works_with_any_of_its_tokens_and_once
            what_is_over_is_forgotten_step_by_step
            a_key_is_succeeded_only_by_who_knows_it
            retired_keys_are_forgotten_when_their_time_is_over
        }
    };
}

every_case!(memory, std::future::ready(crate::memory::stores()), cfg(test));
every_case!(sqlite, std::future::ready(super::sqlite_in_tempdir()), cfg(test));
#[cfg(feature = "mongodb")]
every_case!(mongo, crate::mongo_store::stores(), ignore = "needs SOUK_TEST_MONGODB_URL");

pub(crate) fn a_user(name: &str) -> User {
    user_made_at(name, START)
}

pub(crate) fn user_made_at(name: &str, now: Timestamp) -> User {
    User::register(new_user(name), now)
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        id: UserId::from_uuid(new_uuid()),
        email: format!("{name}@example.org").parse().unwrap(),
        name: PersonName::parse(name).unwrap(),
        password_hash: PasswordHash::new("$argon2id$…".to_owned()),
        roles: Roles::customer(),
        seeded: false,
    }
}

fn new_uuid() -> Uuid {
    contracts::IdGenerator::new_uuid(&contracts::ids::UuidV7Generator)
}

fn event(user: &User, event_type: &str) -> Event {
    let head = EventHead {
        id: new_uuid(),
        service: "users",
        event_type,
        subject: user.id().to_string(),
        time: START,
        aggregate_version: user.version(),
        traceparent: None,
        request_id: None,
    };
    Event::new(head, &serde_json::Value::Null).unwrap()
}

pub(crate) fn a_registration(user: &User) -> Event {
    event(user, "user.registered")
}

fn token(n: u8) -> RefreshTokenHash {
    RefreshTokenHash::new([n; 32])
}

fn a_session(user: &User, n: u8) -> NewSession {
    let session = Session::begin(SessionId::from_uuid(new_uuid()), user.id(), START);
    NewSession { session, token: token(n) }
}

/// A user with a session that token 1 refreshes.
async fn signed_in(stores: &Stores, name: &str) -> (User, SessionId) {
    let user = a_user(name);
    let session = a_session(&user, 1);
    let id = session.session.id;
    stores.users.add(user.clone(), Some(session), a_registration(&user)).await.unwrap();
    (user, id)
}

fn revocation(user: &User, session_id: Option<SessionId>, not_before: Timestamp) -> Revocation {
    Revocation { user_id: user.id(), session_id, not_before, expires_at: not_before.plus(SECOND) }
}

fn ending() -> SessionEnd {
    Box::new(|user, session_id| {
        let not_before = user.note_session_end(START);
        Effects::telling(event(user, "user.sessions_revoked"))
            .voiding(revocation(user, Some(session_id), not_before))
            .ending(EndedSessions::One(session_id, START))
    })
}

async fn rotate(stores: &Stores, from: u8, to: u8) -> Rotation {
    stores.sessions.rotate(token(from), token(to), START, ending()).await.unwrap()
}

async fn an_added_user_is_found_as_they_were_added(stores: Stores) {
    let mut new = new_user("ada");
    new.roles = Roles::new([Role::Admin, Role::Support]).unwrap();
    let user = User::register(new, START);
    stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
    assert_eq!(stores.users.find(user.id()).await.unwrap(), Some(user.clone()));
    assert_eq!(stores.users.find_by_email(user.email()).await.unwrap(), Some(user));
    assert_eq!(stores.users.find(a_user("eve").id()).await.unwrap(), None);
    assert_eq!(stores.users.find_by_email(&"eve@example.org".parse().unwrap()).await.unwrap(), None);
    assert_eq!((stores.events)().await, ["user.registered"]);
}

async fn an_address_has_one_account_and_the_refused_one_leaves_nothing_behind(stores: Stores) {
    signed_in(&stores, "ada").await;
    let second = a_user("ada");
    let session = a_session(&second, 2);
    let refused = stores.users.add(second.clone(), Some(session), a_registration(&second)).await;
    assert!(matches!(refused, Err(RepositoryError::Conflict)), "{refused:?}");
    assert_eq!(stores.users.find(second.id()).await.unwrap(), None);
    assert!(matches!(rotate(&stores, 2, 3).await, Rotation::Refused));
    assert_eq!((stores.events)().await, ["user.registered"]);
}

async fn of_many_adding_one_address_at_once_one_succeeds(stores: Stores) {
    let tries = (0..20).map(|_| {
        let (users, user) = (Arc::clone(&stores.users), a_user("ada"));
        tokio::spawn(async move { users.add(user.clone(), None, a_registration(&user)).await })
    });
    let mut added = 0;
    for outcome in tries.collect::<Vec<_>>() {
        match outcome.await.unwrap() {
            Ok(()) => added += 1,
            Err(RepositoryError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(added, 1);
}

async fn a_change_is_kept_with_its_events_revocation_and_ended_sessions(stores: Stores) {
    let (user, _) = signed_in(&stores, "ada").await;
    let other = a_user("eve");
    stores.users.add(other.clone(), Some(a_session(&other, 9)), a_registration(&other)).await.unwrap();
    let change = |user: &mut User| {
        assert!(user.rename(PersonName::parse("Augusta").unwrap()));
        assert!(user.set_roles(Roles::new([Role::Support]).unwrap(), START));
        assert!(user.ban(BanReason::parse("spam").unwrap(), START));
        Effects::telling(event(user, "user.banned"))
            .voiding(revocation(user, None, user.tokens_not_before()))
            .ending(EndedSessions::All(START))
    };
    let changed = stores.users.change(user.id(), Box::new(change)).await.unwrap().unwrap();
    assert_eq!(changed.version(), 4);
    assert_eq!(stores.users.find(user.id()).await.unwrap(), Some(changed.clone()));
    assert_eq!((stores.events)().await, ["user.registered", "user.registered", "user.banned"]);
    let expected = revocation(&changed, None, changed.tokens_not_before());
    assert_eq!(stores.sessions.list_revocations(START).await.unwrap(), [expected]);
    assert!(matches!(rotate(&stores, 1, 2).await, Rotation::Refused));
    assert!(matches!(rotate(&stores, 9, 10).await, Rotation::Rotated { .. }), "another user's session goes on");
}

async fn a_change_that_changed_nothing_leaves_nothing_behind(stores: Stores) {
    let (user, _) = signed_in(&stores, "ada").await;
    let change = |user: &mut User| {
        Effects::telling(event(user, "user.banned"))
            .voiding(revocation(user, None, START))
            .ending(EndedSessions::All(START))
    };
    assert_eq!(stores.users.change(user.id(), Box::new(change)).await.unwrap(), Some(user));
    assert_eq!((stores.events)().await, ["user.registered"]);
    assert!(stores.sessions.list_revocations(START).await.unwrap().is_empty());
    assert!(matches!(rotate(&stores, 1, 2).await, Rotation::Rotated { .. }));
}

async fn changes_at_the_same_time_are_all_kept(stores: Stores) {
    let (user, _) = signed_in(&stores, "ada").await;
    let changes = (0..20).map(|n| {
        let (users, id) = (Arc::clone(&stores.users), user.id());
        let change = move |user: &mut User| {
            user.rename(PersonName::parse(&format!("Ada {n}")).unwrap());
            Effects::telling(event(user, "user.updated"))
        };
        tokio::spawn(async move { users.change(id, Box::new(change)).await })
    });
    for changed in changes.collect::<Vec<_>>() {
        changed.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(stores.users.find(user.id()).await.unwrap().unwrap().version(), 21);
}

async fn nobody_can_not_be_changed(stores: Stores) {
    let change = Box::new(|_: &mut User| -> Effects { panic!("there is nobody to change") });
    assert_eq!(stores.users.change(a_user("ada").id(), change).await.unwrap(), None);
}

async fn users_of_one_moment_are_paged_without_gap_or_repetition(stores: Stores) {
    let mut expected = Vec::new();
    for n in 0..7_u32 {
        let user = user_made_at(&format!("user{n}"), START.plus(SECOND * (n / 3)));
        stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
        expected.push((user.created_at(), user.id()));
    }
    expected.sort_unstable();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = stores.users.list(UserQuery { search: String::new(), after, limit: 2 }).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(UserPosition { created_at: last.created_at(), id: last.id() });
        seen.extend(page.iter().map(|user| (user.created_at(), user.id())));
    }
    assert_eq!(seen, expected);
}

async fn a_search_takes_what_is_typed_literally_whatever_its_case(stores: Stores) {
    for name in ["ada", "Émile", "a_b"] {
        let mut new = new_user(&name.to_lowercase().replace('é', "e"));
        new.name = PersonName::parse(name).unwrap();
        let user = User::register(new, START);
        stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
    }
    for (search, expected) in [("", 3), ("ADA", 1), ("émile", 1), ("ÉMILE", 1), ("@example", 3), ("_", 1), ("%", 0)] {
        let query = UserQuery { search: search.to_owned(), after: None, limit: 10 };
        assert_eq!(stores.users.list(query).await.unwrap().len(), expected, "{search}");
    }
}

async fn seeded_accounts_alone_are_counted(stores: Stores) {
    signed_in(&stores, "ada").await;
    assert_eq!(stores.users.count_seeded().await.unwrap(), 0);
    let user = User::register(NewUser { seeded: true, ..new_user("demo") }, START);
    stores.users.add(user.clone(), None, a_registration(&user)).await.unwrap();
    assert_eq!(stores.users.count_seeded().await.unwrap(), 1);
    assert_eq!(stores.users.find(user.id()).await.unwrap(), Some(user));
}

async fn a_banned_user_begins_no_session(stores: Stores) {
    let (user, _) = signed_in(&stores, "ada").await;
    let begun = stores.sessions.begin(a_session(&user, 2)).await.unwrap().unwrap();
    assert_eq!(begun, user);
    assert!(matches!(rotate(&stores, 2, 3).await, Rotation::Rotated { .. }));
    let ban = |user: &mut User| {
        user.ban(BanReason::parse("spam").unwrap(), START);
        Effects::none()
    };
    stores.users.change(user.id(), Box::new(ban)).await.unwrap();
    let told = stores.sessions.begin(a_session(&user, 4)).await.unwrap().unwrap();
    assert!(told.ban_reason().is_some());
    assert!(stores.sessions.begin(a_session(&a_user("nobody"), 5)).await.unwrap().is_none());
    for n in [3, 4, 5] {
        assert!(matches!(rotate(&stores, n, n + 10).await, Rotation::Refused), "{n}");
    }
}

async fn a_token_rotates_once_and_the_second_use_ends_the_session(stores: Stores) {
    let (user, session_id) = signed_in(&stores, "ada").await;
    match rotate(&stores, 1, 2).await {
        Rotation::Rotated { user: owner, session_id: id } => assert_eq!((owner, id), (user.clone(), session_id)),
        other => panic!("{other:?}"),
    }
    match rotate(&stores, 1, 3).await {
        Rotation::Reused { user_id, session_id: id } => assert_eq!((user_id, id), (user.id(), session_id)),
        other => panic!("{other:?}"),
    }
    for (presented, why) in
        [(2, "the good one"), (3, "the refused successor"), (1, "the used one again"), (7, "unknown")]
    {
        assert!(matches!(rotate(&stores, presented, 8).await, Rotation::Refused), "{why}");
    }
    assert_eq!((stores.events)().await, ["user.registered", "user.sessions_revoked"]);
    let revocations = stores.sessions.list_revocations(START).await.unwrap();
    assert_eq!(revocations.iter().map(|revoked| revoked.session_id).collect::<Vec<_>>(), [Some(session_id)]);
    assert_eq!(stores.users.find(user.id()).await.unwrap().unwrap().version(), 2);
}

async fn of_many_presenting_one_token_at_once_one_rotates_it(stores: Stores) {
    signed_in(&stores, "ada").await;
    let tries = (0..20).map(|n| {
        let sessions = Arc::clone(&stores.sessions);
        tokio::spawn(async move { sessions.rotate(token(1), token(100 + n), START, ending()).await.unwrap() })
    });
    let (mut rotated, mut reused) = (0, 0);
    for outcome in tries.collect::<Vec<_>>() {
        match outcome.await.unwrap() {
            Rotation::Rotated { .. } => rotated += 1,
            Rotation::Reused { .. } => reused += 1,
            Rotation::Refused => {}
        }
    }
    assert_eq!((rotated, reused), (1, 1));
}

async fn an_expired_session_is_not_refreshed(stores: Stores) {
    signed_in(&stores, "ada").await;
    let over = START.plus(SESSION_LIFE);
    let refused = stores.sessions.rotate(token(1), token(2), over, ending()).await.unwrap();
    assert!(matches!(refused, Rotation::Refused));
    assert!(matches!(rotate(&stores, 1, 2).await, Rotation::Rotated { .. }), "being refused used nothing up");
}

async fn ending_a_session_works_with_any_of_its_tokens_and_once(stores: Stores) {
    let (user, session_id) = signed_in(&stores, "ada").await;
    stores.sessions.begin(a_session(&user, 5)).await.unwrap();
    rotate(&stores, 1, 2).await;
    assert_eq!(stores.sessions.end(token(1), ending()).await.unwrap(), Some(session_id));
    for n in [1, 2, 7] {
        assert_eq!(stores.sessions.end(token(n), ending()).await.unwrap(), None, "{n}");
    }
    assert!(matches!(rotate(&stores, 2, 3).await, Rotation::Refused));
    assert!(matches!(rotate(&stores, 5, 6).await, Rotation::Rotated { .. }), "the other session goes on");
    assert_eq!((stores.events)().await, ["user.registered", "user.sessions_revoked"]);
}

async fn what_is_over_is_forgotten_step_by_step(stores: Stores) {
    let (user, _) = signed_in(&stores, "ada").await;
    for n in 2..=250 {
        stores.sessions.begin(a_session(&user, n)).await.unwrap();
    }
    assert!(stores.sessions.end(token(2), ending()).await.unwrap().is_some());
    assert_eq!(stores.sessions.list_revocations(START).await.unwrap().len(), 1);
    let revoked_until = START.plus(SECOND + Duration::from_millis(1));
    assert!(stores.sessions.list_revocations(revoked_until).await.unwrap().is_empty());

    assert_eq!(stores.sessions.forget_expired(START).await.unwrap(), 0, "nothing is over");
    let mut steps = Vec::new();
    loop {
        match stores.sessions.forget_expired(START.plus(SESSION_LIFE)).await.unwrap() {
            0 => break,
            some => steps.push(some),
        }
    }
    assert_eq!(steps.iter().sum::<usize>(), 251, "250 sessions and a revocation");
    assert!(steps.len() > 1, "in steps, so that other writes get their turn");
    assert!(stores.sessions.list_revocations(START).await.unwrap().is_empty());
    assert!(matches!(rotate(&stores, 9, 251).await, Rotation::Refused));
}

fn a_key(kid: &str, created_at: Timestamp) -> SigningKey {
    SigningKey { kid: kid.to_owned(), pkcs8: kid.as_bytes().to_vec(), created_at, retired_at: None }
}

async fn a_key_is_succeeded_only_by_who_knows_it(stores: Stores) {
    assert!(stores.keys.list().await.unwrap().is_empty());
    let (first, later) = (a_key("first", START), START.plus(SECOND));
    stores.keys.succeed(first.clone(), None).await.unwrap();
    for stale in [None, Some("other".to_owned())] {
        let refused = stores.keys.succeed(a_key("second", later), stale).await;
        assert!(matches!(refused, Err(RepositoryError::Conflict)), "{refused:?}");
    }
    assert_eq!(stores.keys.list().await.unwrap(), std::slice::from_ref(&first));
    stores.keys.succeed(a_key("second", later), Some("first".to_owned())).await.unwrap();
    let mut keys = stores.keys.list().await.unwrap();
    keys.sort_by_key(|key| key.created_at);
    assert_eq!(keys, [SigningKey { retired_at: Some(later), ..first }, a_key("second", later)]);
}

async fn retired_keys_are_forgotten_when_their_time_is_over(stores: Stores) {
    let later = START.plus(SECOND);
    stores.keys.succeed(a_key("first", START), None).await.unwrap();
    stores.keys.succeed(a_key("second", later), Some("first".to_owned())).await.unwrap();
    assert_eq!(stores.keys.forget_retired(later).await.unwrap(), 0, "retired at that moment, not before");
    assert_eq!(stores.keys.forget_retired(later.plus(SECOND)).await.unwrap(), 1);
    assert_eq!(stores.keys.list().await.unwrap(), [a_key("second", later)]);
}
