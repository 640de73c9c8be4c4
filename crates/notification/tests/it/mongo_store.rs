//! What only MongoDB can do wrong. `SOUK_TEST_MONGODB_URL` names a server; every test has a database of its own there.

use std::sync::Arc;

use contracts::ids::UuidV7Generator;
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use notification::adapters::persistence::mongo::MongoStore;
use uuid::Uuid;

use crate::contract::Fixture;

/// A database that is dropped at the end, also of a test that fails.
pub(crate) struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    pub(crate) fn new() -> Self {
        let server = std::env::var("SOUK_TEST_MONGODB_URL").expect("SOUK_TEST_MONGODB_URL names a MongoDB server");
        Self { server, name: format!("souk_notification_{}", Uuid::new_v4().simple()) }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        let (hosts, options) = self.server.split_once('?').unwrap_or((&self.server, ""));
        format!("{}/{}?{options}", hosts.trim_end_matches('/'), self.name)
    }

    async fn open(&self) -> Database {
        Client::with_uri_str(&self.server).await.unwrap().database(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::with_uri_str(server).await.unwrap();
                let _ = client.database(&name).drop().await;
            });
        });
        let _ = dropping.join();
    }
}

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
