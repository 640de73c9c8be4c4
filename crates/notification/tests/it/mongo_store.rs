//! What only MongoDB can do wrong. `SOUK_TEST_MONGODB_URL` names a server; every test has a database of its own there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::builders::{new_order, new_user};
use crate::contract::{CONFIRMED, Fixture, change, notify};
use crate::mongo_fixture::TestDatabase;
use contracts::ids::UuidV7Generator;
use mongodb::bson::{Document, doc};
use notification::adapters::persistence::mongo::MongoStore;
use notification::application::ports::{EmailQueue as _, InboxRepository as _, Recorded, RepositoryError};

async fn store_in(owned: &TestDatabase) -> MongoStore {
    MongoStore::open(&owned.url(), Arc::new(UuidV7Generator)).await.unwrap()
}

/// The store for the contract suite.
pub(crate) async fn fixture() -> Fixture {
    let owned = TestDatabase::new();
    let store = store_in(&owned).await;
    let outbox = store.outbox();
    Fixture::of(store, outbox, owned).await
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn the_indexes_refuse_what_must_be_unique() {
    let owned = TestDatabase::new();
    store_in(&owned).await.ping().await.unwrap();
    let database = owned.open().await;
    for (collection, first, second) in [
        (
            "inbox_entries",
            doc! { "user_id": "u", "seq": 1_i64, "event_id": "a" },
            doc! { "user_id": "u", "seq": 1_i64, "event_id": "b" },
        ),
        (
            "inbox_entries",
            doc! { "user_id": "v", "seq": 1_i64, "event_id": "a" },
            doc! { "user_id": "v", "seq": 2_i64, "event_id": "a" },
        ),
        ("notifications", doc! { "order_id": "o", "kind": "k" }, doc! { "order_id": "o", "kind": "k" }),
        ("chat_rooms", doc! { "key": "order:o" }, doc! { "key": "order:o" }),
        ("chat_members", doc! { "room_id": "r", "user_id": "u" }, doc! { "room_id": "r", "user_id": "u" }),
        (
            "chat_messages",
            doc! { "room_id": "r", "seq": 1_i64, "user_id": "u", "key": "client:a" },
            doc! { "room_id": "r", "seq": 1_i64, "user_id": "u", "key": "client:b" },
        ),
        (
            "chat_messages",
            doc! { "room_id": "s", "seq": 1_i64, "user_id": "u", "key": "client:a" },
            doc! { "room_id": "s", "seq": 2_i64, "user_id": "u", "key": "client:a" },
        ),
    ] {
        let documents = database.collection::<Document>(collection);
        documents.insert_one(first).await.unwrap();
        assert!(documents.insert_one(second.clone()).await.is_err(), "{collection}: {second}");
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn only_emails_that_wait_no_more_expire() {
    let owned = TestDatabase::new();
    store_in(&owned).await.ping().await.unwrap();
    let (keys, options) = owned.index("emails", "emails_finished").await;
    assert_eq!((keys, options.expire_after), (doc! { "created_at": 1 }, Some(Duration::from_hours(60 * 24))));
    assert_eq!(options.partial_filter_expression, Some(doc! { "waiting": false }));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn an_aborted_transaction_leaves_neither_state_nor_used_event_nor_outgoing_one() {
    let owned = TestDatabase::new();
    let store = store_in(&owned).await;
    notify(&store, new_user(), 1).await;
    let refused = change(new_user(), new_order(), CONFIRMED, 1);
    // In the way of the last thing written before the outgoing events: the entries.
    let database = owned.open().await;
    let (user_id, event_id) = (refused.user_id.to_string(), format!("{}/notification", refused.event_id));
    let entries = database.collection::<Document>("inbox_entries");
    entries.insert_one(doc! { "user_id": &user_id, "seq": 99_i64, "event_id": event_id }).await.unwrap();
    let before = counts(&database).await;
    let outcome = store.record_order_change(refused.clone()).await;
    assert!(matches!(outcome, Err(RepositoryError::Conflict)), "{outcome:?}");
    assert_eq!(counts(&database).await, before);
    entries.delete_one(doc! { "seq": 99_i64 }).await.unwrap();
    assert_eq!(store.record_order_change(refused).await.unwrap(), Recorded::Used { email_queued: true });
    let after = counts(&database).await;
    let grown: Vec<_> = before.iter().zip(&after).map(|(before, after)| after.1 - before.1).collect();
    assert_eq!(grown, [1, 2, 1, 1, 1, 0, 1], "{after:?}");
}

/// How many documents each collection has that an order's event writes.
async fn counts(database: &mongodb::Database) -> Vec<(&'static str, u64)> {
    let mut counts = Vec::new();
    for name in ["inbox_heads", "inbox_entries", "order_versions", "notifications", "emails", "events", "outbox"] {
        counts.push((name, database.collection::<Document>(name).count_documents(doc! {}).await.unwrap()));
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn a_server_that_went_away_is_told_soon_and_used_again_when_it_is_back() {
    let owned = TestDatabase::new();
    let mut door = owned.door().await;
    let store = MongoStore::open(&owned.url_through(&door), Arc::new(UuidV7Generator)).await.unwrap();
    let user_id = new_user();
    notify(&store, user_id, 1).await;
    door.cut().await.unwrap();
    let began = Instant::now();
    for refused in [
        store.list_inbox(user_id, 0, 9).await.map(drop),
        store.next_due().await.map(drop),
        store
            .mark_all_read(user_id, crate::builders::START, notification::application::Cause::default())
            .await
            .map(drop),
    ] {
        assert!(matches!(refused, Err(RepositoryError::Unavailable(_))), "{refused:?}");
    }
    assert!(store.ping().await.unwrap_err().to_string().contains("127.0.0.1"), "it says where nobody answers");
    assert!(began.elapsed() < Duration::from_secs(12), "four calls, each at most 3 s: {:?}", began.elapsed());
    door.restore().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = store.ping().await {
        assert!(Instant::now() < deadline, "{error}");
    }
    notify(&store, user_id, 1).await;
    assert_eq!(store.list_inbox(user_id, 0, 9).await.unwrap().head_seq, 6, "gapless over the outage");
}
