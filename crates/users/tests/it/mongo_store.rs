//! What only MongoDB can do wrong. `SOUK_TEST_MONGODB_URL` names a server; every test has a database of its own there.

use std::time::Duration;

use contracts::ids::{SessionId, UserId};
use futures::TryStreamExt as _;
use messaging::outbox::OutboxSource as _;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use users::adapters::persistence::mongo::MongoStore;
use users::application::effects::{Effects, EndedSessions};
use users::application::ports::{
    NewSession, RepositoryError, SessionRepository as _, SigningKeyRepository, UserRepository as _,
};
use users::domain::{RefreshTokenHash, Revocation, Session, User};
use uuid::Uuid;

use crate::contract::{Stores, a_registration, a_user, new_user};
use crate::helpers::START;
use crate::mongo_fixture::TestDatabase;

/// The ports for the contract suite.
pub(crate) async fn stores() -> Stores {
    let database = TestDatabase::new();
    let store = MongoStore::open(&database.url()).await.unwrap();
    let reader = database.open().await;
    let events = move || {
        let reader = reader.clone();
        Box::pin(async move { event_types(&reader).await }) as futures::future::BoxFuture<'static, _>
    };
    Stores::of(store, Box::new(events), database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn the_indexes_that_hold_what_must_be_unique_and_forget_what_is_over_are_there() {
    let owned = TestDatabase::new();
    MongoStore::open(&owned.url()).await.unwrap().ping().await.unwrap();
    let (keys, options) = owned.index("users", "users_by_email").await;
    assert_eq!((keys, options.unique), (doc! { "email": 1 }, Some(true)));
    let week = Some(Duration::from_hours(7 * 24));
    for (collection, name, field, expire_after) in [
        ("sessions", "sessions_by_end", "expires_at", week),
        ("refresh_tokens", "refresh_tokens_over", "forget_at", Some(Duration::ZERO)),
        ("revocations", "revocations_over", "expires_at", week),
    ] {
        let (keys, options) = owned.index(collection, name).await;
        assert_eq!((keys, options.expire_after), (doc! { field: 1 }, expire_after), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn refresh_tokens_go_with_their_session_the_rotated_ones_too() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    let user = a_user("ada");
    let session = session_of(&user, 1);
    let ends_at = session.session.expires_at;
    store.add(user.clone(), Some(session), a_registration(&user)).await.unwrap();
    let later = START.plus(Duration::from_hours(1));
    let no_reuse = Box::new(|_: &mut User, _| -> Effects { panic!("it is used for the first time") });
    store.rotate(RefreshTokenHash::new([1; 32]), RefreshTokenHash::new([2; 32]), later, no_reuse).await.unwrap();
    let tokens = owned.open().await.collection::<Document>("refresh_tokens").find(doc! {}).await.unwrap();
    let tokens: Vec<Document> = tokens.try_collect().await.unwrap();
    let forgotten: Vec<_> =
        tokens.iter().map(|token| token.get_datetime("forget_at").unwrap().timestamp_millis()).collect();
    assert_eq!(forgotten, [ends_at.plus(Duration::from_hours(7 * 24)).unix_ms(); 2]);
}

/// The types of the events in the outbox, in order.
async fn event_types(database: &Database) -> Vec<String> {
    let waiting = database.collection::<Document>("outbox").find(doc! {}).await.unwrap();
    let waiting: Vec<Document> = waiting.try_collect().await.unwrap();
    let positions: Vec<_> = waiting.iter().map(|waiting| waiting.get_i64("_id").unwrap()).collect();
    let filter = doc! { "_id": { "$in": positions } };
    let events = database.collection::<Document>("events").find(filter).sort(doc! { "_id": 1 }).await.unwrap();
    let events: Vec<Document> = events.try_collect().await.unwrap();
    events.iter().map(|event| event.get_str("type").unwrap().to_owned()).collect()
}

async fn count(database: &Database, collection: &str) -> u64 {
    database.collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn an_address_is_one_account_whatever_its_case_and_the_index_says_so() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    // Written by somebody who does not fold case: the index is the last word.
    let users = owned.open().await.collection::<Document>("users");
    users
        .update_one(doc! { "_id": user.id().to_string() }, doc! { "$set": { "email": "ADA@Example.org" } })
        .await
        .unwrap();
    let again = User::register(new_user("ada"), START);
    let refused = store.add(again.clone(), None, a_registration(&again)).await;
    assert!(matches!(refused, Err(RepositoryError::Conflict)), "{refused:?}");
    assert_eq!(store.find_by_email(again.email()).await.unwrap().map(|user| user.id()), Some(user.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn a_refused_transaction_leaves_nothing_in_any_collection() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    let (ada, eve) = (a_user("ada"), a_user("eve"));
    store.add(ada.clone(), Some(session_of(&ada, 1)), a_registration(&ada)).await.unwrap();
    // The event's id is taken: the last write of the transaction is the one that fails.
    let mut event = a_registration(&eve);
    let reader = owned.open().await;
    let taken = reader.collection::<Document>("events").find_one(doc! {}).await.unwrap().unwrap();
    event.id = taken.get_str("event_id").unwrap().parse().unwrap();
    store.add(eve.clone(), Some(session_of(&eve, 2)), event).await.unwrap_err();
    for collection in ["users", "sessions", "refresh_tokens", "events", "outbox"] {
        assert_eq!(count(&reader, collection).await, 1, "{collection}");
    }
    assert_eq!(store.find(eve.id()).await.unwrap(), None);

    let taken = taken.get_str("event_id").unwrap().parse().unwrap();
    let ban = Box::new(move |user: &mut User| {
        user.ban(users::domain::BanReason::parse("spam").unwrap(), START);
        let not_before = user.tokens_not_before();
        let revocation = Revocation { user_id: user.id(), session_id: None, not_before, expires_at: START };
        let mut event = a_registration(user);
        event.id = taken;
        Effects::telling(event).voiding(revocation).ending(EndedSessions::All(START))
    });
    store.change(ada.id(), ban).await.unwrap_err();
    assert_eq!(store.find(ada.id()).await.unwrap(), Some(ada));
    assert_eq!((count(&reader, "revocations").await, count(&reader, "events").await), (0, 1));
    let open = reader.collection::<Document>("sessions").count_documents(doc! { "revoked_at": null }).await.unwrap();
    assert_eq!(open, 1, "the session goes on");
}

fn session_of(user: &User, n: u8) -> NewSession {
    let session = Session::begin(SessionId::from_uuid(Uuid::new_v4()), user.id(), START);
    NewSession { session, token: RefreshTokenHash::new([n; 32]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn no_session_survives_a_ban_that_it_began_beside() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    for round in 0..6 {
        let user = a_user(&format!("user{round}"));
        store.add(user.clone(), None, a_registration(&user)).await.unwrap();
        let ban = Box::new(|user: &mut User| {
            user.ban(users::domain::BanReason::parse("spam").unwrap(), START);
            Effects::none().ending(EndedSessions::All(START))
        });
        let (begun, banned) = tokio::join!(store.begin(session_of(&user, round)), store.change(user.id(), ban));
        begun.unwrap();
        banned.unwrap();
    }
    let open = doc! { "revoked_at": null };
    let alive = owned.open().await.collection::<Document>("sessions").count_documents(open).await.unwrap();
    assert_eq!(alive, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn a_document_that_makes_no_sense_is_named_and_does_not_pass_for_a_user() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    let users = owned.open().await.collection::<Document>("users");
    users.update_one(doc! {}, doc! { "$set": { "roles": ["root"] } }).await.unwrap();
    match store.find(user.id()).await {
        Err(RepositoryError::Corrupt { table: "users", row }) => assert_eq!(row, user.id().to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_told_within_two_seconds() {
    // Nothing listens on port 1.
    let store = MongoStore::open("mongodb://127.0.0.1:1/users?directConnection=true").await.unwrap();
    let began = std::time::Instant::now();
    let found = store.find(UserId::from_uuid(Uuid::nil())).await;
    assert!(matches!(found, Err(RepositoryError::Unavailable(_))), "{found:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(store.ping().await.unwrap_err().to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_repeating_its_password() {
    for bad in ["mongodb://", "mongodb://u:hunter2@[x", "mongodb+srv://u:hunter2@cluster.example.org"] {
        let error = MongoStore::open(bad).await.err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn a_server_that_went_away_is_used_again_when_it_is_back() {
    let owned = TestDatabase::new();
    let mut door = owned.door().await;
    let store = MongoStore::open(&owned.url_through(&door)).await.unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    door.cut().await.unwrap();
    let began = std::time::Instant::now();
    let lost = a_user("eve");
    let refused = store.add(lost.clone(), None, a_registration(&lost)).await;
    assert!(matches!(refused, Err(RepositoryError::Unavailable(_))), "{refused:?}");
    assert!(store.ping().await.is_err());
    for refused in [
        store.find(user.id()).await.map(drop),
        store.begin(session_of(&user, 1)).await.map(drop),
        SigningKeyRepository::list(&store).await.map(drop),
    ] {
        assert!(matches!(refused, Err(RepositoryError::Unavailable(_))), "{refused:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "five calls, each at most 3 s: {:?}", began.elapsed());
    door.restore().await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while let Err(error) = store.ping().await {
        assert!(std::time::Instant::now() < deadline, "{error}");
    }
    assert_eq!(store.find(user.id()).await.unwrap(), Some(user));
    assert_eq!(store.find(lost.id()).await.unwrap(), None);
    store.add(lost.clone(), None, a_registration(&lost)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn of_two_relays_one_publishes_and_the_other_takes_over() {
    let owned = TestDatabase::new();
    let store = MongoStore::open(&owned.url()).await.unwrap();
    let user = a_user("ada");
    store.add(user.clone(), None, a_registration(&user)).await.unwrap();
    let (first, second) = (store.outbox(), store.outbox());
    let pending = first.pending(9).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert!(second.pending(9).await.unwrap().is_empty(), "the first one has the lease");
    let rename = Box::new(|user: &mut User| {
        user.rename(users::domain::PersonName::parse("Augusta").unwrap());
        Effects::telling(a_registration(user))
    });
    store.change(user.id(), rename).await.unwrap();
    // The first one is heard of no more: the second one takes over, from the oldest event that was not marked.
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    let taken = loop {
        let taken = second.pending(9).await.unwrap();
        if !taken.is_empty() {
            break taken;
        }
        assert!(std::time::Instant::now() < deadline, "nobody publishes");
        second.appended().await;
    };
    assert_eq!(taken.iter().map(|(_, event)| event.aggregateversion).collect::<Vec<_>>(), [1, 2]);
    assert!(taken[0].0 < taken[1].0);
    second.mark_published(taken.into_iter().map(|(position, _)| position).collect()).await.unwrap();
    assert!(second.pending(9).await.unwrap().is_empty());
}
