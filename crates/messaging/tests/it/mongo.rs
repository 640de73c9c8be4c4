//! How a MongoDB database is made ready, and written to.

use std::time::Duration;

use messaging::mongo::{Bulk, CollectionPlan, MongoDatabase, MongoError, expiring_index, index, unique_index};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};

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
