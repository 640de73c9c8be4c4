//! The outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use tokio::sync::Notify;

use crate::outbox::{OutboxError, OutboxSource};
use crate::outbox_status::{OutboxStatus, OutboxStatusSource, Unpublished};

/// An event log with its outbox, in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryOutbox {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    appended: Notify,
}

#[derive(Default)]
struct State {
    log: BTreeMap<i64, Event>,
    waiting: BTreeSet<i64>,
}

impl MemoryOutbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends events, all at once.
    pub fn append(&self, events: &[Event]) {
        let mut state = self.state();
        for event in events {
            let position = state.log.keys().next_back().copied().unwrap_or(0) + 1;
            state.log.insert(position, event.clone());
            state.waiting.insert(position);
        }
        drop(state);
        self.shared.appended.notify_one();
    }
}

#[async_trait]
impl OutboxSource for MemoryOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        let state = self.state();
        Ok(state.waiting.iter().take(limit).map(|position| (*position, state.log[position].clone())).collect())
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        let mut state = self.state();
        for position in positions {
            state.waiting.remove(&position);
        }
        Ok(())
    }

    async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let state = self.state();
        let oldest = state.waiting.first().map(|position| state.log[position].time);
        Ok(Backlog { waiting: state.waiting.len() as u64, oldest_at: oldest })
    }
}

#[async_trait]
impl OutboxStatusSource for MemoryOutbox {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let state = self.state();
        let oldest = state.waiting.first().copied();
        let before = oldest.unwrap_or(i64::MAX);
        Ok(OutboxStatus {
            depth: state.waiting.len() as u64,
            oldest: oldest.map(|position| Unpublished::of(position, &state.log[&position])),
            published_to: state.log.range(..before).next_back().map(|(position, _)| *position),
        })
    }
}
