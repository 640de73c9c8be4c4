//! The outbox and the inbox in PostgreSQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Event, Timestamp};
use messaging::bus::Deliveries;
use messaging::outbox::OutboxSource as _;
use messaging::postgres::sql::{query_scalar, raw_sql};
use messaging::postgres::{Database, Migration, PostgresOutbox, inbox, outbox};
use messaging::{BusError, EventBus, Subscription, relay};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::helpers::{PATIENCE, event};
use crate::postgres_fixture::Schema;

const SCHEMA: &[Migration] = &[outbox::SCHEMA, inbox::SCHEMA];

async fn open(url: &str) -> Database {
    let database = Database::new(url, "test", SCHEMA).unwrap();
    database.prepare().await.unwrap();
    database
}

async fn append(database: &Database, events: &[Event]) {
    let mut transaction = database.begin().await.unwrap();
    for event in events {
        outbox::append(&mut transaction, event).await.unwrap();
    }
    transaction.commit().await.unwrap();
    database.notify_appended();
}

/// A bus that remembers what it was given, after a moment in which others may interfere.
#[derive(Default)]
struct Memory {
    published: Mutex<Vec<Event>>,
    calls: Mutex<HashMap<String, usize>>,
}

/// One relay's way to the bus.
struct Named(&'static str, Arc<Memory>);

#[async_trait]
impl EventBus for Named {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        for event in events {
            tokio::time::sleep(Duration::from_micros(200)).await;
            self.1.published.lock().unwrap().push(event.clone());
        }
        *self.1.calls.lock().unwrap().entry(self.0.to_owned()).or_default() += events.len();
        Ok(())
    }
    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        Err(BusError::Unavailable("nobody listens".into()))
    }
    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

impl Memory {
    fn ids(&self) -> Vec<Uuid> {
        self.published.lock().unwrap().iter().map(|event| event.id).collect()
    }

    async fn holds(&self, count: usize) {
        let waiting = async {
            while self.published.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE * 3, waiting).await;
        assert!(came.is_ok(), "{} of {count} published", self.published.lock().unwrap().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn two_relays_share_the_work_publish_everything_once_and_keep_the_order_of_each_aggregate() {
    const AGGREGATES: usize = 40;
    const VERSIONS: u64 = 25;
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    let (memory, stop) = (Arc::<Memory>::default(), CancellationToken::new());
    let relays = ["first", "second"].map(|name| {
        let bus = Arc::new(Named(name, Arc::clone(&memory)));
        tokio::spawn(relay::run(PostgresOutbox::new(database.clone()), bus, stop.clone()))
    });
    let writers = (0..AGGREGATES).map(|n| {
        let database = database.clone();
        async move {
            let subject = Uuid::from_u128(n as u128).to_string();
            for version in 1..=VERSIONS {
                append(&database, &[event("x", &subject, version)]).await;
            }
        }
    });
    futures::future::join_all(writers).await;
    let total = AGGREGATES * VERSIONS as usize;
    memory.holds(total).await;
    stop.cancel();
    futures::future::join_all(relays).await;

    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in memory.published.lock().unwrap().iter() {
        let last = versions.entry(event.subject.clone()).or_default();
        assert_eq!(event.aggregateversion, *last + 1, "of {}", event.subject);
        *last = event.aggregateversion;
    }
    assert_eq!(memory.published.lock().unwrap().len(), total, "each once");
    let calls = memory.calls.lock().unwrap();
    assert!(calls.len() == 2 && calls.values().all(|events| *events > total / 20), "work was not shared: {calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn positions_of_an_aggregate_follow_its_commits_whoever_began_first() {
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    let (first, second) = (event("x", "1", 1), event("x", "1", 2));
    let mut slow = database.begin().await.unwrap();
    outbox::append(&mut slow, &first).await.unwrap();
    let quick = tokio::spawn({
        let (database, second) = (database.clone(), second.clone());
        async move { append(&database, &[second]).await }
    });
    // Another aggregate's events are not held up.
    tokio::time::timeout(PATIENCE, append(&database, &[event("x", "2", 1)])).await.unwrap();
    let outbox = PostgresOutbox::new(database.clone());
    assert_eq!(outbox.pending(10).await.unwrap().len(), 1, "the second must wait for the first");
    slow.commit().await.unwrap();
    quick.await.unwrap();
    let pending = outbox.pending(10).await.unwrap();
    let ids: Vec<_> = pending.iter().filter(|(_, event)| event.subject == "1").map(|(_, event)| event.id).collect();
    assert_eq!(ids, [first.id, second.id]);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn what_one_relay_has_taken_no_other_gets_until_it_is_published_or_the_relay_is_gone() {
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    append(&database, &[event("x", "1", 1)]).await;
    let (first, second) = (PostgresOutbox::new(database.clone()), PostgresOutbox::new(database.clone()));
    let taken = first.pending(10).await.unwrap();
    assert_eq!(taken.len(), 1);
    append(&database, &[event("x", "1", 2)]).await;
    assert!(second.pending(10).await.unwrap().is_empty(), "a later event of an aggregate that is being published");
    first.mark_published(vec![taken[0].0]).await.unwrap();
    first.mark_published(vec![taken[0].0]).await.unwrap();
    let rest = second.pending(10).await.unwrap();
    assert_eq!(rest[0].1.aggregateversion, 2);
    assert!(first.pending(10).await.unwrap().is_empty());
    drop(second);
    let taken_up = async {
        while first.pending(10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_up).await.expect("the locks of a relay that is gone must be free");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_relay_hears_of_an_append_at_once_and_of_an_undone_one_never() {
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    let outbox = PostgresOutbox::new(database.clone());
    assert!(outbox.pending(10).await.unwrap().is_empty());
    let mut undone = database.begin().await.unwrap();
    outbox::append(&mut undone, &event("x", "1", 1)).await.unwrap();
    undone.rollback().await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(200), outbox.appended()).await;
    assert!(silence.is_err(), "nothing was appended");
    let kept = event("x", "1", 1);
    append(&database, std::slice::from_ref(&kept)).await;
    tokio::time::timeout(Duration::from_secs(1), outbox.appended()).await.expect("before the relay looks by itself");
    let pending = outbox.pending(10).await.unwrap();
    assert_eq!(pending.iter().map(|(_, event)| event.id).collect::<Vec<_>>(), [kept.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn an_event_that_another_process_appended_wakes_the_relay() {
    const NEVER: Duration = Duration::from_hours(1);
    let schema = Schema::create().await;
    // Connections and signals of their own, as another process has them: they share nothing but the server.
    let (here, elsewhere) = (open(&schema.url()).await, open(&schema.url()).await);
    let (memory, stop) = (Arc::<Memory>::default(), CancellationToken::new());
    let (outbox, bus) = (PostgresOutbox::new(here), Arc::new(Named("only", Arc::clone(&memory))));
    let relay = tokio::spawn(relay::run_looking_every(NEVER, outbox, bus, stop.clone()));
    let mut wanted = Vec::new();
    for version in 1..=5 {
        let event = event("x", "1", version);
        append(&elsewhere, std::slice::from_ref(&event)).await;
        wanted.push(event.id);
        memory.holds(wanted.len()).await;
    }
    assert_eq!(memory.ids(), wanted);
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_server_that_goes_away_in_the_middle_comes_back_with_nothing_lost_or_reordered() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    let database = open(&schema.url_through(&door)).await;
    let beside = open(&schema.url()).await;
    let (memory, stop) = (Arc::<Memory>::default(), CancellationToken::new());
    let bus = Arc::new(Named("only", Arc::clone(&memory)));
    let relay = tokio::spawn(relay::run(PostgresOutbox::new(database.clone()), bus, stop.clone()));
    let events: Vec<_> = (1..=300).map(|version| event("x", "1", version)).collect();
    append(&database, &events[..150]).await;
    memory.holds(1).await;
    door.cut().await.unwrap();
    let began = std::time::Instant::now();
    assert!(database.ping().await.is_err());
    assert!(database.begin().await.is_err());
    assert!(began.elapsed() < Duration::from_secs(8), "an outage is refused soon: {:?}", began.elapsed());
    append(&beside, &events[150..]).await;
    door.restore().await.unwrap();
    let wanted: Vec<_> = events.iter().map(|event| event.id).collect();
    let all_seen = async {
        // What was published as the server went away may be published again.
        while !wanted.iter().all(|id| memory.ids().contains(id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_seen).await.expect("the relay must come back");
    let mut firsts = Vec::new();
    for id in memory.ids() {
        if !firsts.contains(&id) {
            firsts.push(id);
        }
    }
    assert_eq!(firsts, wanted);
    database.ping().await.unwrap();
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_database_that_was_away_at_the_start_is_refused_until_its_schema_is_there() {
    let schema = Schema::create().await;
    let mut door = schema.door().await;
    door.cut().await.unwrap();
    let database = Database::new(&schema.url_through(&door), "test", SCHEMA).unwrap();
    let stop = CancellationToken::new();
    let preparing = tokio::spawn({
        let (database, stop) = (database.clone(), stop.clone());
        async move { database.prepare_until(stop).await }
    });
    let began = std::time::Instant::now();
    assert!(database.ping().await.is_err() && database.begin().await.is_err());
    assert!(began.elapsed() < Duration::from_secs(1), "it is known that nothing is there yet");
    door.restore().await.unwrap();
    tokio::time::timeout(PATIENCE * 2, preparing).await.expect("it must be tried again").unwrap();
    database.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn replicas_that_start_at_once_migrate_once_and_an_older_build_is_refused() {
    let schema = Schema::create().await;
    let starting = (0..6).map(|_| async { open(&schema.url()).await });
    futures::future::join_all(starting).await;
    schema.as_operator("UPDATE schema_versions SET version = 9 WHERE component = 'outbox'").await;
    let older = Database::new(&schema.url(), "test", SCHEMA).unwrap().prepare().await.unwrap_err();
    assert!(older.is_final() && older.to_string().contains("version 9"), "{older}");
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_migration_that_fails_leaves_nothing_behind() {
    const BROKEN: &[Migration] = &[
        inbox::SCHEMA,
        Migration { component: "broken", version: 1, sql: "CREATE TABLE half (n INTEGER); SELECT 1 / 0" },
    ];
    let schema = Schema::create().await;
    let failed = Database::new(&schema.url(), "test", BROKEN).unwrap().prepare().await.unwrap_err();
    assert_eq!(failed.to_string(), "migration broken 1 failed");
    for table in ["half", "consumed_events", "schema_versions"] {
        let found: Option<String> = query_scalar("SELECT to_regclass($1)::text")
            .bind(table)
            .fetch_one(&mut schema.connect().await)
            .await
            .unwrap();
        assert_eq!(found, None, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn of_two_deliveries_at_once_one_has_the_effect_and_an_undone_one_none() {
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    let (id, now) = (Uuid::new_v4(), Timestamp::from_unix_ms(1_800_000_000_123));
    let mut undone = database.begin().await.unwrap();
    assert!(inbox::record_first_use(&mut undone, "a", id, now).await.unwrap());
    undone.rollback().await.unwrap();
    let uses = (0..6).map(|_| async {
        let mut transaction = database.begin().await.unwrap();
        let first = inbox::record_first_use(&mut transaction, "a", id, now).await.unwrap();
        transaction.commit().await.unwrap();
        first
    });
    let firsts = futures::future::join_all(uses).await;
    assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
    let mut connection = database.acquire().await.unwrap();
    assert!(inbox::record_first_use(&mut connection, "b", id, now).await.unwrap(), "another consumer's use is its own");
    assert_eq!(inbox::forget(&mut connection, now).await.unwrap(), 0);
    assert_eq!(inbox::forget(&mut connection, now.plus(Duration::from_millis(1))).await.unwrap(), 2);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn a_statement_that_runs_for_too_long_is_ended() {
    let schema = Schema::create().await;
    let database = open(&schema.url()).await;
    let began = std::time::Instant::now();
    let ended = raw_sql("SELECT pg_sleep(30)").execute(&mut *database.acquire().await.unwrap()).await;
    assert!(ended.is_err() && began.elapsed() < Duration::from_secs(15));
}

#[test]
fn only_addresses_of_databases_are_taken() {
    for good in ["postgres://souk:secret@db.internal:5432/orders", "postgresql://127.0.0.1/orders"] {
        // The pool belongs to a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(async { Database::new(good, "test", SCHEMA) }).is_ok(), "{good}");
    }
    for bad in ["", "sqlite://a.db", "postgres:/", "mysql://x/y", "postgres://host:port/x"] {
        assert!(Database::new(bad, "test", SCHEMA).is_err(), "{bad}");
    }
}
