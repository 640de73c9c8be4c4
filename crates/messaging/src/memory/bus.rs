//! The bus.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Clock, Event, Timestamp};
use tokio::sync::Notify;

use crate::bus::{Audience, BusError, Deliveries, Delivery, EventBus, Subscription, Verdict};
use crate::dead_letters::{
    DeadLetter, DeadLetterError, DeadLetters, Handled, LetterId, Pile, SUFFIX, Which, dead_queue,
};
use crate::mailbox::Mailboxes;
use crate::routing;
use crate::turns::{Turn, Turns};

/// How often a consumer looks for delayed messages.
const LOOK: Duration = Duration::from_millis(5);

/// A broker in memory; clones share it.
#[derive(Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    arrived: Notify,
    mailboxes: Mailboxes,
}

#[derive(Default)]
struct State {
    bindings: BTreeMap<String, Vec<String>>,
    messages: BTreeMap<i64, Message>,
    in_work: HashSet<i64>,
    last: i64,
    turns: BTreeMap<String, Arc<Turns>>,
}

struct Message {
    queue: String,
    body: String,
    attempts: u32,
    available_at: Timestamp,
    error: String,
    first_failed_at: Option<Timestamp>,
    last_failed_at: Option<Timestamp>,
}

impl Message {
    fn fail(&mut self, attempt: u32, now: Timestamp, why: String) {
        self.attempts = attempt;
        self.error = why;
        self.first_failed_at.get_or_insert(now);
        self.last_failed_at = Some(now);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryBus {
    /// An empty broker.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (state, arrived, mailboxes) = (Mutex::default(), Notify::new(), Mailboxes::default());
        Self { shared: Arc::new(Shared { clock, state, arrived, mailboxes }) }
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let now = self.shared.clock.now();
        {
            let mut state = self.shared.state();
            for event in events {
                // As it would travel, so that what JSON can't hold is not held here either.
                let body = serde_json::to_string(event).map_err(|error| BusError::Unavailable(Box::new(error)))?;
                let wanted =
                    |patterns: &Vec<String>| patterns.iter().any(|one| routing::matches(one, &event.event_type));
                let queues: Vec<_> = state
                    .bindings
                    .iter()
                    .filter(|(_, patterns)| wanted(patterns))
                    .map(|(queue, _)| queue.clone())
                    .collect();
                for queue in queues {
                    state.last += 1;
                    let message = Message {
                        queue,
                        body: body.clone(),
                        attempts: 0,
                        available_at: now,
                        error: String::new(),
                        first_failed_at: None,
                        last_failed_at: None,
                    };
                    let id = state.last;
                    state.messages.insert(id, message);
                }
            }
        }
        self.shared.mailboxes.put(events);
        self.shared.arrived.notify_waiters();
        Ok(())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Deliveries>, BusError> {
        if subscription.audience == Audience::Instance {
            return Ok(Box::new(self.shared.mailboxes.open(subscription)));
        }
        let mut state = self.shared.state();
        state.bindings.insert(subscription.queue.clone(), subscription.bindings.clone());
        let turns = Arc::clone(state.turns.entry(subscription.queue.clone()).or_default());
        drop(state);
        let turn = (subscription.audience == Audience::Ordered).then(|| turns.join());
        Ok(Box::new(MemoryDeliveries { shared: Arc::clone(&self.shared), subscription, held: HashSet::new(), turn }))
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
}

struct MemoryDeliveries {
    shared: Arc<Shared>,
    subscription: Subscription,
    held: HashSet<i64>,
    /// Of an ordered queue. Given up when all else is: after what was held has been handed back.
    turn: Option<Turn>,
}

impl Drop for MemoryDeliveries {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for tag in &self.held {
            state.in_work.remove(tag);
        }
        drop(state);
        self.shared.arrived.notify_waiters();
    }
}

impl MemoryDeliveries {
    fn take(&mut self) -> Vec<Delivery> {
        let room = self.subscription.prefetch.saturating_sub(self.held.len());
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let State { messages, in_work, .. } = &mut *state;
        let mut due: Vec<_> = messages
            .iter()
            .filter(|(id, message)| {
                message.queue == self.subscription.queue && message.available_at <= now && !in_work.contains(id)
            })
            .collect();
        due.sort_by_key(|(id, message)| (message.available_at, **id));
        due.truncate(room);
        let mut taken = Vec::with_capacity(due.len());
        for (id, message) in due {
            in_work.insert(*id);
            self.held.insert(*id);
            let event = serde_json::from_str(&message.body).map_err(|error| error.to_string());
            taken.push(Delivery { tag: *id, attempt: message.attempts + 1, event });
        }
        taken
    }
}

#[async_trait]
impl Deliveries for MemoryDeliveries {
    async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        if let Some(turn) = &self.turn {
            turn.has_come().await;
        }
        let shared = Arc::clone(&self.shared);
        loop {
            let mut arrived = std::pin::pin!(shared.arrived.notified());
            arrived.as_mut().enable();
            let taken = self.take();
            if !taken.is_empty() {
                return Ok(taken);
            }
            let _ = tokio::time::timeout(LOOK, arrived).await;
        }
    }

    async fn settle(&mut self, verdicts: Vec<(Delivery, Verdict)>) -> Result<(), BusError> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        for (delivery, verdict) in verdicts {
            let tag = delivery.tag;
            state.in_work.remove(&tag);
            self.held.remove(&tag);
            if verdict == Verdict::Ack {
                state.messages.remove(&tag);
                continue;
            }
            let Some(message) = state.messages.get_mut(&tag) else { continue };
            let delay = self.subscription.retry.delays.get(delivery.attempt.saturating_sub(1) as usize);
            match (verdict, delay) {
                (Verdict::Retry(why), Some(delay)) => {
                    message.fail(delivery.attempt, now, why);
                    message.available_at = now.plus(*delay);
                }
                (Verdict::Retry(why) | Verdict::Dead(why), _) => {
                    crate::dead_letters::tell(&self.subscription.queue, &delivery, &why);
                    message.fail(delivery.attempt, now, why);
                    message.queue = dead_queue(&self.subscription.queue);
                }
                (Verdict::Ack, _) => {}
            }
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        Ok(())
    }
}

fn letter(group: &str, id: i64, message: &Message) -> DeadLetter {
    DeadLetter {
        group: group.to_owned(),
        key: id.to_string(),
        body: message.body.clone(),
        attempts: message.attempts,
        first_failed_at: message.first_failed_at,
        last_failed_at: message.last_failed_at,
        error: message.error.clone(),
    }
}

impl MemoryBus {
    fn letters(&self, group: &str) -> Vec<DeadLetter> {
        let (state, dead) = (self.shared.state(), dead_queue(group));
        let of_group = state.messages.iter().filter(|(_, message)| message.queue == dead);
        let mut letters: Vec<_> = of_group.map(|(id, message)| letter(group, *id, message)).collect();
        letters.sort_by_key(|letter| letter.last_failed_at);
        letters
    }

    fn change(&self, group: &str, which: &Which, change: impl Fn(&mut State, i64)) -> Handled {
        let dead = dead_queue(group);
        let mut state = self.shared.state();
        let ids: Vec<_> =
            state.messages.iter().filter(|(_, message)| message.queue == dead).map(|(id, _)| *id).collect();
        let wanted: Vec<_> = ids.into_iter().filter(|id| which.contains(&id.to_string())).collect();
        for id in &wanted {
            change(&mut state, *id);
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        let found: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        Handled { done: wanted.len() as u64, missing: which.missing(found.iter().map(String::as_str)) }
    }
}

#[async_trait]
impl DeadLetters for MemoryBus {
    async fn piles(&self, _groups: &[String]) -> Result<Vec<Pile>, DeadLetterError> {
        let mut piles = BTreeMap::new();
        for message in self.shared.state().messages.values() {
            if let Some(group) = message.queue.strip_suffix(SUFFIX) {
                *piles.entry(group.to_owned()).or_default() += 1;
            }
        }
        Ok(piles.into_iter().map(|(group, letters)| Pile { group, letters }).collect())
    }

    async fn list(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        Ok(self.letters(group).into_iter().take(limit).collect())
    }

    async fn find(&self, id: &LetterId) -> Result<Option<DeadLetter>, DeadLetterError> {
        Ok(self.letters(&id.group).into_iter().find(|letter| letter.key == id.key))
    }

    async fn replay(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        if !self.shared.state().bindings.contains_key(group) {
            return Err(DeadLetterError::NoSuchGroup(group.to_owned()));
        }
        let now = self.shared.clock.now();
        Ok(self.change(group, which, |state, id| {
            if let Some(message) = state.messages.get_mut(&id) {
                group.clone_into(&mut message.queue);
                (message.attempts, message.available_at) = (0, now);
                (message.first_failed_at, message.last_failed_at) = (None, None);
                message.error.clear();
            }
        }))
    }

    async fn discard(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        Ok(self.change(group, which, |state, id| drop(state.messages.remove(&id))))
    }
}
