//! How a MongoDB database is made ready, and its inbox.

use std::time::Duration;

use contracts::Timestamp;
use messaging::mongo::{
    Bulk, CollectionPlan, MongoDatabase, MongoError, Writing, expiring_index, inbox, index, unique_index,
};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};

use uuid::Uuid;

use crate::mongo_fixture::TestDatabase;

const DAY: Duration = Duration::from_hours(24);

async fn open(owned: &TestDatabase, plan: Vec<CollectionPlan>) -> MongoDatabase {
    MongoDatabase::open(&owned.url(), "test", plan).await.unwrap()
}

/// What another build left behind.
async fn make(owned: &TestDatabase, collection: &str, index: IndexModel) {
    owned.open().await.collection::<Document>(collection).create_index(index).await.unwrap();
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn used_events_expire_long_after_any_redelivery() {
    let owned = TestDatabase::new();
    open(&owned, Vec::new()).await.ping().await.unwrap();
    let (keys, options) = owned.index("consumed_events", "consumed_events_by_age").await;
    assert_eq!((keys, options.expire_after), (doc! { "consumed_at": 1 }, Some(60 * DAY)));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn an_index_that_another_build_made_otherwise_is_replaced() {
    for other in [
        index("by_end", doc! { "end": 1 }),
        expiring_index("by_end", "end", Duration::from_secs(1), None),
        expiring_index("by_end", "end", DAY, Some(doc! { "done": true })),
        index("by_end", doc! { "beginning": 1, "end": 1 }),
        index("by_end_formerly", doc! { "end": 1 }),
    ] {
        let owned = TestDatabase::new();
        make(&owned, "things", other.clone()).await;
        make(&owned, "things", index("somebody_elses", doc! { "n": 1 })).await;
        let by_end = expiring_index("by_end", "end", DAY, None);
        let plan = || vec![CollectionPlan::new("things", [index("by_size", doc! { "size": 1 }), by_end.clone()])];
        for _ in 0..2 {
            open(&owned, plan()).await.ping().await.unwrap_or_else(|error| panic!("{other:?}: {error}"));
        }
        let (keys, options) = owned.index("things", "by_end").await;
        assert_eq!((keys, options.expire_after), (doc! { "end": 1 }, Some(DAY)), "{other:?}");
        assert_eq!(options.partial_filter_expression, None, "{other:?}");
        for kept in ["somebody_elses", "by_size"] {
            owned.index("things", kept).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn a_unique_index_that_is_another_one_is_left_alone_and_named() {
    let owned = TestDatabase::new();
    make(&owned, "things", unique_index("one_of_a_kind", doc! { "kind": 1 }, None)).await;
    let planned = unique_index("one_of_a_kind", doc! { "kind": 1, "owner": 1 }, None);
    let database = open(&owned, vec![CollectionPlan::new("things", [planned])]).await;
    let refused = database.ping().await.unwrap_err().to_string();
    assert!(refused.contains("one_of_a_kind of things"), "{refused}");
    assert_eq!(owned.index("things", "one_of_a_kind").await.0, doc! { "kind": 1 });
    // Done by an operator: the service goes on by itself.
    owned.open().await.collection::<Document>("things").drop_index("one_of_a_kind").await.unwrap();
    database.ping().await.unwrap();
    let (keys, options) = owned.index("things", "one_of_a_kind").await;
    assert_eq!((keys, options.unique), (doc! { "kind": 1, "owner": 1 }, Some(true)));
}

/// One delivery, committed or not; says whether it was the first.
async fn use_event(database: &MongoDatabase, consumer: &str, id: Uuid, now: Timestamp, commits: bool) -> Option<bool> {
    let mut writing = database.write();
    loop {
        let outcome = try_use(database, &mut writing, consumer, id, now).await;
        let outcome = outcome.and(if commits { Ok(()) } else { Err(MongoError::TimedOut) });
        match writing.settle(outcome).await {
            None => {}
            Some(Ok(())) => return Some(true),
            Some(Err(MongoError::Duplicate)) => {
                assert!(inbox::was_used(database, consumer, id).await.unwrap());
                return Some(false);
            }
            Some(Err(MongoError::TimedOut)) if !commits => return None,
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

async fn try_use(
    database: &MongoDatabase,
    writing: &mut Writing<'_>,
    consumer: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<(), MongoError> {
    let session = writing.begin().await?;
    database.collection::<Document>("things").find_one(doc! {}).session(session).await?;
    let mut bulk = Bulk::new();
    inbox::record_use_with(database, consumer, id, now, &mut bulk)?;
    writing.bulk(bulk).await
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn an_event_without_effect_is_recorded_once() {
    let owned = TestDatabase::new();
    let database = open(&owned, Vec::new()).await;
    let (id, now) = (Uuid::new_v4(), Timestamp::from_unix_ms(1));
    assert!(!inbox::was_used(&database, "a", id).await.unwrap());
    assert!(inbox::record_use(&database, "a", id, now).await.unwrap());
    assert!(!inbox::record_use(&database, "a", id, now).await.unwrap());
    assert!(inbox::was_used(&database, "a", id).await.unwrap());
    assert_eq!(use_event(&database, "a", id, now, true).await, Some(false));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn many_writes_are_one_and_one_that_was_overtaken_leaves_nothing() {
    let owned = TestDatabase::new();
    let database = open(&owned, Vec::new()).await;
    let things = database.collection::<Document>("things");
    things.insert_one(doc! { "_id": "a", "version": 1 }).await.unwrap();
    for (known, new, expected) in [(1, "b", true), (1, "c", false), (2, "d", true)] {
        let mut writing = database.write();
        things.find_one(doc! {}).session(writing.begin().await.unwrap()).await.unwrap();
        let mut bulk = Bulk::new();
        bulk.insert(&things, &doc! { "_id": new }).unwrap();
        bulk.update(&things, doc! { "_id": "a", "version": known }, doc! { "$inc": { "version": 1 } });
        let outcome = writing.bulk(bulk).await;
        assert_eq!(matches!(outcome, Err(MongoError::Stale)), !expected, "{outcome:?}");
        let settled = writing.settle(outcome).await;
        assert_eq!(matches!(settled, Some(Ok(()))), expected, "{settled:?}");
        let kept = things.find_one(doc! { "_id": new }).await.unwrap();
        assert_eq!(kept.is_some(), expected, "{new}");
    }
    assert_eq!(things.find_one(doc! { "_id": "a" }).await.unwrap().unwrap().get_i32("version").unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_MONGODB_URL"]
async fn of_deliveries_at_once_one_has_the_effect_and_an_undone_one_none() {
    let owned = TestDatabase::new();
    let database = open(&owned, Vec::new()).await;
    database.ping().await.unwrap();
    let (id, now) = (Uuid::new_v4(), Timestamp::parse("2100-01-01T00:00:00.123999Z").unwrap());
    assert_eq!(use_event(&database, "a", id, now, false).await, None);
    let uses = (0..4).map(|_| use_event(&database, "a", id, now, true));
    let firsts = futures::future::join_all(uses).await;
    assert_eq!(firsts.iter().filter(|first| **first == Some(true)).count(), 1, "{firsts:?}");
    assert_eq!(use_event(&database, "b", id, now, true).await, Some(true), "another consumer's use is its own");
    assert_eq!(inbox::forget(&database, now).await.unwrap(), 0);
    assert_eq!(inbox::forget(&database, now.plus(Duration::from_millis(1))).await.unwrap(), 2);
}
