//! The consumer loop and the deduplication of deliveries.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::{Event, Timestamp};
use messaging::{ConsumeError, Consumer, EventBus, EventHandler, inbox};
use sqlite::{Database, Durability, SqliteUrl, StoreError};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::helpers::{PATIENCE, event, ids, next, sqlite_bus, subscription};

#[derive(Default)]
struct Recorder {
    handled: Mutex<Vec<(String, u64)>>,
    progress: Notify,
}

impl Recorder {
    async fn wait_for(&self, count: usize) -> Vec<(String, u64)> {
        let waiting = async {
            loop {
                let progress = self.progress.notified();
                let handled = self.handled.lock().unwrap().clone();
                if handled.len() >= count {
                    return handled;
                }
                progress.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the events should have been handled")
    }
}

#[async_trait]
impl EventHandler for Recorder {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        let seen = (event.subject.clone(), event.aggregateversion);
        let first_time = !self.handled.lock().unwrap().contains(&seen);
        self.handled.lock().unwrap().push(seen);
        self.progress.notify_one();
        match event.event_type.as_str() {
            "poison" => Err(ConsumeError::Poison("on purpose".to_owned())),
            "early" if first_time => Err(ConsumeError::Early("on purpose".to_owned())),
            "later" if first_time => Err(ConsumeError::Transient("on purpose".to_owned())),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn events_of_one_aggregate_keep_their_order_and_bad_ones_stop_nobody() {
    let folder = TempDir::new().unwrap();
    let bus = sqlite_bus(&folder).await;
    let consumer = Consumer::declare(&bus, subscription("a", &["#"])).await.unwrap();
    let poison = event("poison", "3", 1);
    let mut events: Vec<_> = (1..=20).flat_map(|n| [event("x", "1", n), event("x", "2", n)]).collect();
    events.insert(5, poison.clone());
    events.insert(7, event("later", "4", 1));
    bus.publish(&events).await.unwrap();
    let (recorder, stop) = (Arc::new(Recorder::default()), CancellationToken::new());
    let running = tokio::spawn(consumer.run(Arc::clone(&recorder) as Arc<dyn EventHandler>, stop.clone()));
    let handled = recorder.wait_for(events.len() + 1).await;
    for subject in ["1", "2"] {
        let versions: Vec<_> = handled.iter().filter(|(s, _)| s == subject).map(|(_, version)| *version).collect();
        assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    }
    assert_eq!(handled.iter().filter(|(subject, _)| subject == "4").count(), 2, "tried again once");
    stop.cancel();
    running.await.unwrap();
    let mut dead = bus.subscribe(subscription("a.dead", &[])).await.unwrap();
    assert_eq!(ids(&next(&mut dead).await), [poison.id]);
}

/// Events of aggregate "slow" end when the test says so.
struct Gated {
    recorder: Recorder,
    gate: Semaphore,
    in_order: bool,
}

#[async_trait]
impl EventHandler for Gated {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        self.recorder.handle(event).await?;
        if event.subject == "slow" {
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(())
    }
    fn in_order(&self) -> bool {
        self.in_order
    }
}

/// A consumer at work, until it is stopped.
struct AtWork {
    bus: Arc<dyn EventBus>,
    gated: Arc<Gated>,
    stop: CancellationToken,
    running: JoinHandle<()>,
    _folder: TempDir,
}

impl AtWork {
    async fn begin(in_order: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let bus = sqlite_bus(&folder).await;
        let consumer = Consumer::declare(&bus, subscription("a", &["#"])).await.unwrap();
        let gated = Arc::new(Gated { recorder: Recorder::default(), gate: Semaphore::new(0), in_order });
        let stop = CancellationToken::new();
        let running = tokio::spawn(consumer.run(Arc::clone(&gated) as Arc<dyn EventHandler>, stop.clone()));
        Self { bus, gated, stop, running, _folder: folder }
    }
}

#[tokio::test]
async fn one_that_takes_long_holds_up_only_those_of_its_aggregate_and_what_is_done_meanwhile_is_settled() {
    let AtWork { bus, gated, stop, running, _folder } = AtWork::begin(true).await;
    bus.publish(&[event("x", "slow", 1), event("x", "slow", 2)]).await.unwrap();
    gated.recorder.wait_for(1).await;
    // More than may be in work at once: they only come if those before them are settled.
    let others: Vec<_> = (1..=200).map(|n| event("x", "other", n)).collect();
    bus.publish(&others).await.unwrap();
    let handled = gated.recorder.wait_for(201).await;
    assert_eq!(handled.iter().filter(|(subject, _)| subject == "slow").count(), 1, "the second waits for the first");
    stop.cancel();
    gated.gate.add_permits(2);
    tokio::time::timeout(PATIENCE, running).await.expect("what is in work is finished").unwrap();
    let mut left = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    bus.publish(&[event("x", "last", 1)]).await.unwrap();
    assert_eq!(next(&mut left).await[0].event.as_ref().unwrap().subject, "last", "nothing comes again");
}

#[tokio::test]
async fn where_the_order_is_of_no_matter_events_of_one_aggregate_are_in_work_together() {
    let AtWork { bus, gated, stop, running, _folder } = AtWork::begin(false).await;
    bus.publish(&[event("x", "slow", 1), event("x", "slow", 2)]).await.unwrap();
    assert_eq!(gated.recorder.wait_for(2).await.len(), 2);
    stop.cancel();
    gated.gate.add_permits(2);
    running.await.unwrap();
}

#[tokio::test]
async fn an_event_that_came_too_early_is_used_within_moments_and_not_after_a_retry() {
    let folder = TempDir::new().unwrap();
    let bus = sqlite_bus(&folder).await;
    let mut subscription = subscription("a", &["#"]);
    // What goes back to the broker is a dead letter at once.
    subscription.retry.delays.clear();
    let consumer = Consumer::declare(&bus, subscription).await.unwrap();
    bus.publish(&[event("early", "1", 2)]).await.unwrap();
    let (recorder, stop) = (Arc::new(Recorder::default()), CancellationToken::new());
    let running = tokio::spawn(consumer.run(Arc::clone(&recorder) as Arc<dyn EventHandler>, stop.clone()));
    assert_eq!(recorder.wait_for(2).await.len(), 2);
    stop.cancel();
    running.await.unwrap();
    let mut dead = bus.subscribe(crate::helpers::subscription("a.dead", &["x"])).await.unwrap();
    bus.publish(&[event("x", "3", 1)]).await.unwrap();
    let first = next(&mut dead).await;
    assert_eq!(first[0].event.as_ref().unwrap().subject, "3", "there is no dead letter before it");
}

#[tokio::test]
async fn an_event_counts_as_used_only_with_its_effect_and_only_once_for_each_consumer() {
    let folder = TempDir::new().unwrap();
    let url = SqliteUrl::of(folder.path().join("service.db"));
    let database = Database::open(&url, Durability::Full, &[inbox::SCHEMA]).unwrap();
    let id = event("x", "1", 1).id;
    let use_it = |consumer: &'static str, fail: bool| {
        database.write("test", move |connection| {
            let first = inbox::record_first_use(connection, consumer, id, Timestamp::from_unix_ms(1))?;
            if fail { Err(StoreError::Dropped) } else { Ok(first) }
        })
    };
    assert!(use_it("a", true).await.is_err());
    assert!(use_it("a", false).await.unwrap(), "the failed effect did not count");
    assert!(!use_it("a", false).await.unwrap());
    assert!(use_it("b", false).await.unwrap());
}
