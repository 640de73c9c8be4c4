//! Events and waiting.

use std::sync::Arc;
use std::time::Duration;

use contracts::event::EventHead;
use contracts::timestamp::SystemClock;
use contracts::{Event, Timestamp};
use messaging::bus::Deliveries;
use messaging::memory::MemoryBus;
use messaging::{Broker, Delivery, EventBus, RetryPolicy, Subscription};
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take before the test says that it does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come before the test believes that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

pub(crate) async fn sqlite_bus(folder: &TempDir) -> Arc<dyn EventBus> {
    sqlite_broker(folder).await.bus
}

pub(crate) async fn sqlite_broker(folder: &TempDir) -> Broker {
    let url = format!("sqlite://{}", folder.path().join("broker.db").display());
    messaging::open(&url, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) async fn memory_bus(folder: &TempDir) -> Arc<dyn EventBus> {
    memory_broker(folder).await.bus
}

pub(crate) async fn memory_broker(_folder: &TempDir) -> Broker {
    let bus = MemoryBus::new(Arc::new(SystemClock));
    Broker { bus: Arc::new(bus.clone()), dead_letters: Arc::new(bus) }
}

pub(crate) fn event(event_type: &str, subject: &str, version: u64) -> Event {
    let head = EventHead {
        id: Uuid::new_v4(),
        service: "test",
        event_type,
        subject: subject.to_owned(),
        time: Timestamp::from_unix_ms(0),
        aggregate_version: version,
        traceparent: None,
        request_id: None,
    };
    Event::new(head, &serde_json::json!({ "n": version })).unwrap()
}

pub(crate) fn subscription(queue: &str, bindings: &[&str]) -> Subscription {
    Subscription {
        retry: RetryPolicy { delays: vec![Duration::from_millis(10)] },
        ..Subscription::new(queue, bindings)
    }
}

/// The next batch, which must come.
pub(crate) async fn next(deliveries: &mut Box<dyn Deliveries>) -> Vec<Delivery> {
    tokio::time::timeout(PATIENCE, deliveries.next()).await.expect("something should have been delivered").unwrap()
}

/// At least `count` deliveries, held unsettled.
pub(crate) async fn take(deliveries: &mut Box<dyn Deliveries>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next(deliveries).await);
    }
    taken
}

pub(crate) async fn expect_nothing(deliveries: &mut Box<dyn Deliveries>) {
    let came = tokio::time::timeout(SILENCE, deliveries.next()).await;
    assert!(came.is_err(), "nothing should have come: {came:?}");
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<Uuid> {
    deliveries.iter().map(|delivery| delivery.event.as_ref().unwrap().id).collect()
}
