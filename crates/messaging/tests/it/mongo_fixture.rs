//! A MongoDB database that a test owns. Other crates' tests include this file.

use cut_proxy::CutProxy;
use futures::TryStreamExt as _;
use mongodb::bson::Document;
use mongodb::options::IndexOptions;
use mongodb::{Client, Database};
use uuid::Uuid;

/// A database that is dropped at the end, also of a test that fails.
pub(crate) struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// A name of its own on the server that `SOUK_TEST_MONGODB_URL` names.
    pub(crate) fn new() -> Self {
        let server = std::env::var("SOUK_TEST_MONGODB_URL").expect("SOUK_TEST_MONGODB_URL names a MongoDB server");
        Self { server, name: format!("souk_test_{}", Uuid::new_v4().simple()) }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        self.url_on(&self.server)
    }

    fn url_on(&self, server: &str) -> String {
        let (hosts, options) = server.split_once('?').unwrap_or((server, ""));
        format!("{}/{}?{options}", hosts.trim_end_matches('/'), self.name)
    }

    /// A door before the server, open.
    pub(crate) async fn door(&self) -> CutProxy {
        CutProxy::before(&self.server).await.unwrap()
    }

    /// The address by way of a door.
    pub(crate) fn url_through(&self, door: &CutProxy) -> String {
        self.url_on(&door.url(&self.server))
    }

    /// The database beside the adapter, as an operator would have it.
    pub(crate) async fn open(&self) -> Database {
        Client::with_uri_str(&self.server).await.unwrap().database(&self.name)
    }

    /// The keys and options of an index, as the server lists them.
    pub(crate) async fn index(&self, collection: &str, name: &str) -> (Document, IndexOptions) {
        let listed = self.open().await.collection::<Document>(collection).list_indexes().await.unwrap();
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        let mut options = listed.into_iter().filter_map(|index| Some((index.keys, index.options?)));
        let found = options.find(|(_, options)| options.name.as_deref() == Some(name));
        found.unwrap_or_else(|| panic!("{collection} has no {name}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if is_disposable() {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be ending, or unwinding.
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

/// Whether the whole server is forgotten after the tests: `scripts/backends` says so of one that it started. Nothing is dropped
/// then: the stand-in for MongoDB hangs for ever when a database is dropped in which a transaction is open, and a test that
/// ends may leave one.
pub(crate) fn is_disposable() -> bool {
    std::env::var_os("SOUK_TEST_MONGODB_DISPOSABLE").is_some()
}
