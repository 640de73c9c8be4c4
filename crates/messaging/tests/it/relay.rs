//! The outbox relay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use contracts::Event;
use messaging::bus::Deliveries;
use messaging::{BusError, EventBus, SqliteOutbox, Subscription, outbox, relay};
use sqlite::{Database, Durability, SqliteUrl, StoreError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::helpers::{event, expect_nothing, ids, sqlite_bus, subscription, take};

fn open_outbox(folder: &TempDir) -> SqliteOutbox {
    let url = SqliteUrl::of(folder.path().join("service.db"));
    SqliteOutbox::new(Database::open(&url, Durability::Full, &[outbox::SCHEMA]).unwrap())
}

async fn append(outbox: &SqliteOutbox, events: Vec<Event>) {
    outbox
        .write("test", move |connection| {
            for event in &events {
                outbox::append(connection, event)?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

/// A bus that is away for the first calls.
struct Flaky {
    bus: Arc<dyn EventBus>,
    failures_left: AtomicUsize,
}

#[async_trait]
impl EventBus for Flaky {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        if self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(BusError::Unavailable("on purpose".into()));
        }
        self.bus.publish(events).await
    }
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        self.bus.subscribe(subscription).await
    }
    async fn ping(&self) -> Result<(), BusError> {
        self.bus.ping().await
    }
}

#[tokio::test]
async fn what_is_appended_is_published_in_order_also_when_the_bus_was_away() {
    let folder = TempDir::new().unwrap();
    let bus = sqlite_bus(&folder).await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let outbox = open_outbox(&folder);
    let events: Vec<_> = (1..=300).map(|n| event("x", "1", n)).collect();
    append(&outbox, events[..200].to_vec()).await;
    let stop = CancellationToken::new();
    let flaky = Arc::new(Flaky { bus, failures_left: AtomicUsize::new(1) });
    let relay = tokio::spawn(relay::run(outbox.clone(), flaky, stop.clone()));
    append(&outbox, events[200..].to_vec()).await;
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        let batch = take(&mut queue, 1).await;
        seen.extend(ids(&batch));
        queue.settle(batch.into_iter().map(|delivery| (delivery, messaging::Verdict::Ack)).collect()).await.unwrap();
    }
    assert_eq!(seen, events.iter().map(|event| event.id).collect::<Vec<_>>());
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn an_event_whose_transaction_was_undone_is_never_published_and_a_published_one_only_once() {
    let folder = TempDir::new().unwrap();
    let bus = sqlite_bus(&folder).await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let outbox = open_outbox(&folder);
    let undone = event("x", "1", 1);
    let refused = outbox
        .write("test", move |connection| {
            outbox::append(connection, &undone)?;
            Err::<(), _>(StoreError::Dropped)
        })
        .await;
    assert!(refused.is_err());
    let kept = event("x", "1", 2);
    append(&outbox, vec![kept.clone()]).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        // The second relay begins where the first one ended, as after a restart.
        let stop = CancellationToken::new();
        let relay = tokio::spawn(relay::run(outbox.clone(), Arc::clone(&bus), stop.clone()));
        let marker = event("x", "2", 1);
        append(&outbox, vec![marker.clone()]).await;
        // In one batch or in several: up to the marker.
        while seen.last() != Some(&marker.id) {
            seen.extend(ids(&take(&mut queue, 1).await));
        }
        stop.cancel();
        relay.await.unwrap();
    }
    expect_nothing(&mut queue).await;
    assert!(seen.len() == 3 && seen[0] == kept.id, "each once, and the undone one never: {seen:?}");
}
