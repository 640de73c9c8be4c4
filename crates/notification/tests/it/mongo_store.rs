//! What only MongoDB can do wrong. `SOUK_TEST_MONGODB_URL` names a server; every test has a database of its own there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::builders::new_user;
use crate::contract::{Fixture, notify};
use crate::mongo_fixture::TestDatabase;
use contracts::ids::UuidV7Generator;
use mongodb::bson::{Document, doc};
use notification::adapters::persistence::mongo::MongoStore;
use notification::application::ports::{EmailQueue as _, InboxRepository as _, RepositoryError};

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
    ] {
        let documents = database.collection::<Document>(collection);
        documents.insert_one(first).await.unwrap();
        assert!(documents.insert_one(second.clone()).await.is_err(), "{collection}: {second}");
    }
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
    assert_eq!(store.list_inbox(user_id, 0, 9).await.unwrap().head_seq, 4, "gapless over the outage");
}
