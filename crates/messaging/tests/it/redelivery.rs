//! What every bus may do to a consumer, repeat and reorder, and what the inbox makes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ::sqlite::{Database, Durability, Migration, SqliteUrl, StoreError};
use async_trait::async_trait;
use contracts::{Event, Timestamp};
use messaging::{ConsumeError, Consumer, EventBus, EventHandler, inbox};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::helpers::{PATIENCE, event, ids, memory_bus, sqlite_bus, subscription, take};

const EFFECTS: Migration = Migration {
    component: "effects",
    version: 1,
    sql: "CREATE TABLE effects (event_id TEXT NOT NULL, version INTEGER NOT NULL) STRICT",
};

/// A consumer with an effect, recorded together with the event's id. The first delivery of version 1 comes too early.
struct Effects {
    database: Database,
    has_refused: AtomicBool,
    handled: watch::Sender<usize>,
    order: Mutex<Vec<u64>>,
}

impl Effects {
    fn open(folder: &TempDir) -> Self {
        let url = SqliteUrl::of(folder.path().join("consumer.db"));
        let database = Database::open(&url, Durability::Full, &[inbox::SCHEMA, EFFECTS]).unwrap();
        Self { database, has_refused: AtomicBool::new(false), handled: watch::Sender::new(0), order: Mutex::default() }
    }

    /// The versions that had an effect, in the order of their effects.
    async fn after(&self, deliveries: usize) -> Vec<u64> {
        let mut handled = self.handled.subscribe();
        let enough = tokio::time::timeout(PATIENCE, handled.wait_for(|handled| *handled >= deliveries));
        enough.await.expect("it should have been delivered so often").unwrap();
        self.order.lock().unwrap().clone()
    }

    async fn kept(&self) -> i64 {
        let count = self.database.write("test", |connection| {
            Ok::<_, StoreError>(connection.query_row("SELECT count(*) FROM effects", [], |row| row.get(0))?)
        });
        count.await.unwrap()
    }
}

#[async_trait]
impl EventHandler for Effects {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        let (id, version) = (event.id, event.aggregateversion);
        if event.event_type == "early" && version == 1 && !self.has_refused.swap(true, Ordering::SeqCst) {
            self.handled.send_modify(|handled| *handled += 1);
            return Err(ConsumeError::Transient("too early".to_owned()));
        }
        let using = self.database.write("test", move |connection| {
            let first = inbox::record_first_use(connection, "test", id, Timestamp::from_unix_ms(1))?;
            if first {
                connection.execute(
                    "INSERT INTO effects VALUES (?1, ?2)",
                    (id.to_string(), i64::try_from(version).unwrap()),
                )?;
            }
            Ok::<_, StoreError>(first)
        });
        if using.await.unwrap() {
            self.order.lock().unwrap().push(version);
        }
        self.handled.send_modify(|handled| *handled += 1);
        Ok(())
    }
}

async fn an_event_published_twice_comes_twice_and_is_used_once(bus: Arc<dyn EventBus>) {
    let once = event("x", "1", 1);
    let mut raw = bus.subscribe(subscription("raw", &["#"])).await.unwrap();
    let consumer = Consumer::declare(&bus, subscription("a", &["#"])).await.unwrap();
    bus.publish(std::slice::from_ref(&once)).await.unwrap();
    bus.publish(&[once.clone(), event("x", "1", 2)]).await.unwrap();
    assert_eq!(ids(&take(&mut raw, 3).await)[..2], [once.id; 2], "the bus does not look into events");
    let (folder, stop) = (TempDir::new().unwrap(), CancellationToken::new());
    let effects = Arc::new(Effects::open(&folder));
    let running = tokio::spawn(consumer.run(Arc::clone(&effects) as Arc<dyn EventHandler>, stop.clone()));
    assert_eq!(effects.after(3).await, [1, 2]);
    assert_eq!(effects.kept().await, 2);
    stop.cancel();
    running.await.unwrap();
}

async fn a_retried_event_comes_after_newer_ones_and_each_is_used_once(bus: Arc<dyn EventBus>) {
    let consumer = Consumer::declare(&bus, subscription("a", &["#"])).await.unwrap();
    let events: Vec<_> = (1..=3).map(|version| event("early", "1", version)).collect();
    bus.publish(&events).await.unwrap();
    let (folder, stop) = (TempDir::new().unwrap(), CancellationToken::new());
    let effects = Arc::new(Effects::open(&folder));
    let running = tokio::spawn(consumer.run(Arc::clone(&effects) as Arc<dyn EventHandler>, stop.clone()));
    assert_eq!(effects.after(4).await, [2, 3, 1], "the bus promises no order: consumers compare versions");
    // The same again, as after a lost acknowledgement.
    bus.publish(&events).await.unwrap();
    assert_eq!(effects.after(7).await, [2, 3, 1]);
    assert_eq!(effects.kept().await, 3);
    stop.cancel();
    running.await.unwrap();
}

macro_rules! redelivery_contract {
    ($(#[$attribute:meta])* $adapter:ident, $open:path) => {
        event_bus_contract!(
            [$(#[$attribute])*] $adapter, $open,
            an_event_published_twice_comes_twice_and_is_used_once
            a_retried_event_comes_after_newer_ones_and_each_is_used_once
        );
    };
}

redelivery_contract!(memory, memory_bus);
redelivery_contract!(sqlite, sqlite_bus);

#[cfg(feature = "amqp")]
redelivery_contract!(
    #[ignore = "needs SOUK_TEST_AMQP_URL"]
    amqp,
    crate::amqp::bus_in
);
