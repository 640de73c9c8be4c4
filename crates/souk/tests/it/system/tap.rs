//! Listens to everything that is published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::Event;
use contracts::timestamp::SystemClock;
use messaging::{EventBus, Subscription, Verdict};
use tokio::task::JoinHandle;

use super::engines::Kind;
use super::world::World;

/// A queue of its own that gets every event, in the order that the broker took them.
pub(crate) struct Tap {
    pub(crate) bus: Arc<dyn EventBus>,
    heard: Arc<Mutex<Vec<Event>>>,
    task: JoinHandle<()>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tap {
    pub(crate) async fn open(world: &World) -> Self {
        let bus = messaging::connect(&world.database(Kind::Rabbit, ""), Arc::new(SystemClock)).await.unwrap();
        let mut deliveries = bus.subscribe(Subscription::new("system.tap", &["#"])).await.unwrap();
        let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok(batch) = deliveries.next().await {
                let events = batch.iter().map(|delivery| delivery.event.clone().unwrap());
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
                let done = batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect();
                deliveries.settle(done).await.unwrap();
            }
        });
        Self { bus, heard, task }
    }

    /// What was published until now.
    pub(crate) fn heard(&self) -> Vec<Event> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Aggregates whose events were first published in another order than they happened in.
    pub(crate) fn out_of_order(&self) -> Vec<String> {
        let mut last: BTreeMap<(String, String), (u64, Vec<uuid::Uuid>)> = BTreeMap::new();
        let mut found = Vec::new();
        for event in self.heard() {
            let aggregate = (event.source.clone(), event.subject.clone());
            let (version, seen) = last.entry(aggregate).or_default();
            if seen.contains(&event.id) {
                continue;
            }
            if event.aggregateversion < *version {
                found.push(format!(
                    "{} {}: {} after {version}",
                    event.event_type, event.subject, event.aggregateversion
                ));
            }
            *version = event.aggregateversion.max(*version);
            seen.push(event.id);
        }
        found
    }
}
