//! Queues of one instance ([`crate::bus::Audience::Instance`]) where the instance and the broker are one process: in
//! memory, since neither outlives the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use contracts::Event;
use tokio::sync::Notify;

use crate::bus::{BusError, Deliveries, Delivery, Subscription, Verdict};
use crate::routing;

/// Most events that wait for an instance; of one that is slower all are dropped, and it is told so.
const CAPACITY: usize = 10_000;

/// All instances that listen.
#[derive(Default)]
pub(crate) struct Mailboxes {
    open: Mutex<Vec<Weak<Mailbox>>>,
}

struct Mailbox {
    bindings: Vec<String>,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    missed: bool,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, event: &Event) {
        if !self.bindings.iter().any(|pattern| routing::matches(pattern, &event.event_type)) {
            return;
        }
        let mut state = self.state();
        if state.waiting.len() >= CAPACITY {
            state.waiting.clear();
            state.missed = true;
        }
        state.waiting.push_back(event.clone());
        drop(state);
        self.arrived.notify_one();
    }
}

impl Mailboxes {
    /// Hands events to every instance that wants them.
    pub(crate) fn put(&self, events: &[Event]) {
        let open: Vec<_> = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|mailbox| mailbox.strong_count() > 0);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        for mailbox in open {
            for event in events {
                mailbox.put(event);
            }
        }
    }

    /// Begins to listen, until the deliveries are dropped.
    pub(crate) fn open(&self, subscription: Subscription) -> MailboxDeliveries {
        let mailbox =
            Arc::new(Mailbox { bindings: subscription.bindings, state: Mutex::default(), arrived: Notify::new() });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&mailbox));
        MailboxDeliveries { mailbox, prefetch: subscription.prefetch, last_tag: 0, in_work: 0, missed: false }
    }
}

/// An instance's end.
pub(crate) struct MailboxDeliveries {
    mailbox: Arc<Mailbox>,
    prefetch: usize,
    last_tag: i64,
    in_work: usize,
    missed: bool,
}

impl MailboxDeliveries {
    /// What is there, and whether something is missing before it.
    fn take(&mut self) -> (Vec<Delivery>, bool) {
        let mut state = self.mailbox.state();
        let room = self.prefetch.saturating_sub(self.in_work).min(state.waiting.len());
        let events: Vec<_> = state.waiting.drain(..room).collect();
        let missed = std::mem::take(&mut state.missed);
        drop(state);
        self.in_work += events.len();
        let first = self.last_tag + 1;
        self.last_tag += events.len() as i64;
        let deliveries = (first..).zip(events).map(|(tag, event)| Delivery { tag, attempt: 1, event: Ok(event) });
        (deliveries.collect(), missed)
    }
}

#[async_trait]
impl Deliveries for MailboxDeliveries {
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        let mailbox = Arc::clone(&self.mailbox);
        loop {
            let mut arrived = std::pin::pin!(mailbox.arrived.notified());
            // Registered before looking: what arrives in between is not slept through.
            arrived.as_mut().enable();
            let (deliveries, missed) = self.take();
            self.missed |= missed;
            if !deliveries.is_empty() || missed {
                return Ok(deliveries);
            }
            arrived.await;
        }
    }

    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError> {
        self.in_work = self.in_work.saturating_sub(verdicts.len());
        for (delivery, verdict) in &verdicts {
            log_dropped(delivery, verdict);
        }
        Ok(())
    }

    fn has_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }
}

/// The queue of an instance has no retries and no dead letters.
pub(crate) fn log_dropped(delivery: &Delivery, verdict: &Verdict) {
    if let Verdict::Retry(why) | Verdict::Dead(why) = verdict {
        let id = delivery.event.as_ref().map_or_else(|_| "unreadable".to_owned(), |event| event.id.to_string());
        tracing::warn!(event.id = id, why, "an event for this instance alone can't be used and is dropped");
    }
}

#[cfg(test)]
mod tests {
    use contracts::Timestamp;
    use contracts::event::EventHead;
    use uuid::Uuid;

    use super::*;

    fn event(n: usize) -> Event {
        let head = EventHead {
            id: Uuid::from_u128(n as u128),
            service: "test",
            event_type: "x",
            subject: "1".to_owned(),
            time: Timestamp::from_unix_ms(0),
            aggregate_version: 1,
            traceparent: None,
            request_id: None,
        };
        Event::new(head, &()).unwrap()
    }

    #[tokio::test]
    async fn an_instance_that_falls_far_behind_is_told_that_it_missed_something() {
        let mailboxes = Mailboxes::default();
        let mut slow = mailboxes.open(Subscription::broadcast("a", "1", &["#"]));
        let events: Vec<_> = (0..=CAPACITY).map(event).collect();
        mailboxes.put(&events[..CAPACITY]);
        let first = slow.next().await.unwrap();
        assert!(!slow.has_missed() && first.len() == slow.prefetch);
        mailboxes.put(&events);
        let ids = |batch: &[Delivery]| batch.iter().map(|one| one.event.as_ref().unwrap().id).collect::<Vec<_>>();
        slow.settle(first.into_iter().map(|one| (one, Verdict::Ack)).collect()).await.unwrap();
        let rest = slow.next().await.unwrap();
        assert!(slow.has_missed() && !slow.has_missed(), "told once");
        assert!(rest.len() < CAPACITY && !ids(&rest).is_empty());
        drop(slow);
        mailboxes.put(&events[..1]);
        assert!(mailboxes.open.lock().unwrap().is_empty(), "who is gone leaves nothing behind");
    }
}
