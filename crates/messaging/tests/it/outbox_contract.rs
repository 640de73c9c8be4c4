//! What every outbox must do, for its relays and for operators. (The inventory's on Redis has its tests there.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::event::EventHead;
use contracts::{Event, Timestamp};
use messaging::bus::Deliveries;
use messaging::outbox::OutboxSource;
use messaging::{BusError, EventBus, OutboxStatusSource, Subscription, relay};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::helpers::PATIENCE;

/// An outbox that a test owns.
#[async_trait]
trait Fixture: Send + Sync {
    /// Appends events in one transaction.
    async fn append(&self, events: &[Event]);
    /// Starts one more relay.
    async fn relay(&self, bus: Arc<dyn EventBus>, stop: CancellationToken);
    /// Marks what is pending, at most `limit`, as published; its ids.
    async fn publish(&self, limit: usize) -> Vec<Uuid>;
    /// For operators.
    fn status(&self) -> Arc<dyn OutboxStatusSource>;
}

async fn publish_from(outbox: &impl OutboxSource, limit: usize) -> Vec<Uuid> {
    let pending = outbox.pending(limit).await.unwrap();
    let (positions, events): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
    outbox.mark_published(positions).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

fn event(subject: &str, version: u64, unix_ms: i64) -> Event {
    let head = EventHead {
        id: Uuid::new_v4(),
        service: "test",
        event_type: "order.created",
        subject: subject.to_owned(),
        time: Timestamp::from_unix_ms(unix_ms),
        aggregate_version: version,
        traceparent: None,
        request_id: None,
    };
    Event::new(head, &serde_json::json!({ "n": version })).unwrap()
}

async fn the_status_tells_what_waits_since_when_and_how_far_publishing_came(outbox: Arc<dyn Fixture>) {
    let empty = outbox.status().status().await.unwrap();
    assert_eq!((empty.depth, empty.oldest, empty.published_to), (0, None, None));
    let events: Vec<_> = (1..=4).map(|n| event(&n.to_string(), 1, 1_800_000_000_122 + n)).collect();
    outbox.append(&events).await;
    let first = outbox.status().status().await.unwrap();
    let oldest = first.oldest.unwrap();
    assert_eq!((first.depth, first.published_to, oldest.event_id), (4, None, events[0].id));
    assert_eq!((oldest.event_type.as_str(), oldest.subject.as_str()), ("order.created", "1"));
    assert_eq!(oldest.time.unix_ms(), 1_800_000_000_123, "to the millisecond");
    assert_eq!(outbox.publish(3).await, events[..3].iter().map(|event| event.id).collect::<Vec<_>>());
    let later = outbox.status().status().await.unwrap();
    let oldest = later.oldest.unwrap();
    assert_eq!((later.depth, oldest.event_id), (1, events[3].id));
    assert_eq!(later.published_to, Some(oldest.position - 1));
    assert_eq!(outbox.publish(10).await, [events[3].id]);
    let done = outbox.status().status().await.unwrap();
    assert_eq!((done.depth, done.oldest, done.published_to), (0, None, Some(oldest.position)));
}

/// Remembers what it was given.
#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

#[async_trait]
impl EventBus for Seen {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        for event in events {
            // A moment in which another relay may interfere.
            tokio::task::yield_now().await;
            self.0.lock().unwrap().push(event.clone());
        }
        Ok(())
    }
    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        Err(BusError::Unavailable("nobody listens".into()))
    }
    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

async fn two_relays_publish_everything_and_no_event_before_an_earlier_one_of_its_aggregate(outbox: Arc<dyn Fixture>) {
    const VERSIONS: u64 = 8;
    let (seen, stop) = (Arc::<Seen>::default(), CancellationToken::new());
    let relays = [0, 1].map(|_| {
        let (outbox, seen, stop) = (Arc::clone(&outbox), Arc::clone(&seen), stop.clone());
        tokio::spawn(async move { outbox.relay(seen, stop).await })
    });
    let subjects = ["1", "2", "3"];
    for version in 1..=VERSIONS {
        for subject in subjects {
            outbox.append(&[event(subject, version, 0)]).await;
        }
    }
    let all_published = async {
        while outbox.status().status().await.unwrap().depth > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 3, all_published).await.expect("everything should have been published");
    stop.cancel();
    futures::future::join_all(relays).await;
    let mut next: HashMap<String, u64> = HashMap::new();
    for event in seen.0.lock().unwrap().iter() {
        let next = next.entry(event.subject.clone()).or_insert(1);
        assert!(event.aggregateversion <= *next, "{} of {} came before {next}", event.aggregateversion, event.subject);
        // An earlier one again is no harm: consumers know it by its id.
        *next = (*next).max(event.aggregateversion + 1);
    }
    assert!(subjects.iter().all(|subject| next[*subject] == VERSIONS + 1), "{next:?}");
}

macro_rules! outbox_contract {
    ($(#[$attribute:meta])* $adapter:ident, $open:expr) => {
        outbox_contract!(
            [$(#[$attribute])*] $adapter, $open,
            the_status_tells_what_waits_since_when_and_how_far_publishing_came
            two_relays_publish_everything_and_no_event_before_an_earlier_one_of_its_aggregate
        );
    };
    ($attributes:tt $adapter:ident, $open:expr, $($case:ident)*) => {
        mod $adapter {
            use super::*;
            $(outbox_contract!(@case $attributes $open, $case);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $open:expr, $case:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $case() {
            super::$case(Arc::new($open.await)).await;
        }
    };
}

outbox_contract!(memory, async { in_memory::InMemory::default() });
outbox_contract!(sqlite, in_sqlite::InSqlite::open());
#[cfg(feature = "postgres")]
outbox_contract!(
    #[ignore = "needs SOUK_TEST_POSTGRES_URL"]
    postgres,
    in_postgres::InPostgres::open()
);
#[cfg(feature = "mongodb")]
outbox_contract!(
    #[ignore = "needs SOUK_TEST_MONGODB_URL"]
    mongo,
    in_mongo::InMongo::open()
);

mod in_memory {
    use messaging::memory::MemoryOutbox;

    use super::*;

    #[derive(Default)]
    pub(super) struct InMemory(MemoryOutbox);

    #[async_trait]
    impl Fixture for InMemory {
        async fn append(&self, events: &[Event]) {
            self.0.append(events);
        }
        async fn relay(&self, bus: Arc<dyn EventBus>, stop: CancellationToken) {
            relay::run(self.0.clone(), bus, stop).await;
        }
        async fn publish(&self, limit: usize) -> Vec<Uuid> {
            publish_from(&self.0, limit).await
        }
        fn status(&self) -> Arc<dyn OutboxStatusSource> {
            Arc::new(self.0.clone())
        }
    }
}

mod in_sqlite {
    use ::sqlite::{Database, Durability, SqliteUrl, StoreError};
    use messaging::outbox_status::SqliteOutboxStatus;
    use messaging::{SqliteOutbox, outbox};
    use tempfile::TempDir;

    use super::*;

    pub(super) struct InSqlite {
        outbox: SqliteOutbox,
        url: SqliteUrl,
        _folder: TempDir,
    }

    impl InSqlite {
        pub(super) async fn open() -> Self {
            let folder = TempDir::new().unwrap();
            let url = SqliteUrl::of(folder.path().join("service.db"));
            assert!(SqliteOutboxStatus::new(&url).status().await.is_err() && !url.path().exists(), "nothing is made");
            let database = Database::open(&url, Durability::Full, &[outbox::SCHEMA]).unwrap();
            Self { outbox: SqliteOutbox::new(database), url, _folder: folder }
        }
    }

    #[async_trait]
    impl Fixture for InSqlite {
        async fn append(&self, events: &[Event]) {
            let events = events.to_vec();
            let append = self.outbox.write("test", move |connection| {
                for event in &events {
                    outbox::append(connection, event)?;
                }
                Ok::<_, StoreError>(())
            });
            append.await.unwrap();
        }
        async fn relay(&self, bus: Arc<dyn EventBus>, stop: CancellationToken) {
            relay::run(self.outbox.clone(), bus, stop).await;
        }
        async fn publish(&self, limit: usize) -> Vec<Uuid> {
            publish_from(&self.outbox, limit).await
        }
        fn status(&self) -> Arc<dyn OutboxStatusSource> {
            Arc::new(SqliteOutboxStatus::new(&self.url))
        }
    }
}

#[cfg(feature = "postgres")]
mod in_postgres {
    use messaging::postgres::{Database, PostgresOutbox, PostgresOutboxStatus, outbox};

    use super::*;
    use crate::postgres_fixture::Schema;

    pub(super) struct InPostgres {
        database: Database,
        schema: Schema,
    }

    impl InPostgres {
        pub(super) async fn open() -> Self {
            let schema = Schema::create().await;
            assert!(PostgresOutboxStatus::new(&schema.url()).unwrap().status().await.is_err(), "nothing is made");
            let database = Database::new(&schema.url(), "test", &[outbox::SCHEMA]).unwrap();
            database.prepare().await.unwrap();
            Self { database, schema }
        }
    }

    #[async_trait]
    impl Fixture for InPostgres {
        async fn append(&self, events: &[Event]) {
            let mut transaction = self.database.begin().await.unwrap();
            for event in events {
                outbox::append(&mut transaction, event).await.unwrap();
            }
            transaction.commit().await.unwrap();
            self.database.notify_appended();
        }
        async fn relay(&self, bus: Arc<dyn EventBus>, stop: CancellationToken) {
            relay::run(PostgresOutbox::new(self.database.clone()), bus, stop).await;
        }
        async fn publish(&self, limit: usize) -> Vec<Uuid> {
            publish_from(&PostgresOutbox::new(self.database.clone()), limit).await
        }
        fn status(&self) -> Arc<dyn OutboxStatusSource> {
            Arc::new(PostgresOutboxStatus::new(&self.schema.url()).unwrap())
        }
    }
}

#[cfg(feature = "mongodb")]
mod in_mongo {
    use messaging::mongo::{MongoDatabase, MongoError, MongoOutbox, MongoOutboxStatus, Writing};
    use mongodb::bson::{Document, doc};

    use super::*;

    pub(super) struct InMongo {
        server: String,
        name: String,
        database: MongoDatabase,
        outbox: MongoOutbox,
        status: Arc<MongoOutboxStatus>,
    }

    impl InMongo {
        pub(super) async fn open() -> Self {
            let server = std::env::var("SOUK_TEST_MONGODB_URL").expect("SOUK_TEST_MONGODB_URL names a MongoDB server");
            let name = format!("test_{}", Uuid::new_v4().simple());
            let database = MongoDatabase::open(&server, &name, Vec::new()).await.unwrap();
            let status = Arc::new(MongoOutboxStatus::open(&server, &name).await.unwrap());
            let outbox = MongoOutbox::new(database.clone());
            Self { server, name, database, outbox, status }
        }
    }

    impl Drop for InMongo {
        fn drop(&mut self) {
            // See mongo_fixture.rs beside.
            if std::env::var_os("SOUK_TEST_MONGODB_DISPOSABLE").is_some() {
                return;
            }
            let (server, name) = (self.server.clone(), self.name.clone());
            // A runtime of its own: the test's may be ending.
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let drop = async {
                        let client = mongodb::Client::with_uri_str(&server).await?;
                        client.database(&name).drop().await
                    };
                    // A server that went away must not keep the test.
                    tokio::time::timeout(PATIENCE, drop).await.is_ok_and(|dropped| dropped.is_ok())
                })
            });
            let _ = dropping.join();
        }
    }

    /// As services do: the aggregates first, then their events.
    async fn write(database: &MongoDatabase, writing: &mut Writing<'_>, events: &[Event]) -> Result<(), MongoError> {
        let aggregates = database.collection::<Document>("aggregates");
        let session = writing.begin().await?;
        for event in events {
            let version = doc! { "$set": { "version": event.aggregateversion as i64 } };
            aggregates.update_one(doc! { "_id": &event.subject }, version).upsert(true).session(&mut *session).await?;
        }
        writing.append(events.to_vec()).await
    }

    #[async_trait]
    impl Fixture for InMongo {
        async fn append(&self, events: &[Event]) {
            self.database.ping().await.unwrap();
            let mut writing = self.database.write();
            loop {
                let outcome = write(&self.database, &mut writing, events).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done.unwrap();
                }
            }
        }
        async fn relay(&self, bus: Arc<dyn EventBus>, stop: CancellationToken) {
            relay::run(MongoOutbox::new(self.database.clone()), bus, stop).await;
        }
        async fn publish(&self, limit: usize) -> Vec<Uuid> {
            let before = self.outbox.backlog().await.unwrap().waiting;
            let published = publish_from(&self.outbox, limit).await;
            // They are taken out beside the relay's further work.
            while self.outbox.backlog().await.unwrap().waiting > before - published.len() as u64 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            published
        }
        fn status(&self) -> Arc<dyn OutboxStatusSource> {
            Arc::clone(&self.status) as Arc<dyn OutboxStatusSource>
        }
    }
}
