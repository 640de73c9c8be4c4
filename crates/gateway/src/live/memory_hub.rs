//! The hub of one process: a bounded channel for each user that somebody listens for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::ids::UserId;
use tokio::sync::broadcast;

use super::hub::{LiveMessage, RealtimeHub, Subscription};

/// Messages kept for a listener that is slow; what is older it reads from the store.
pub const CAPACITY: usize = 64;

/// See the module.
#[derive(Clone, Default)]
pub struct MemoryHub {
    users: Arc<Mutex<HashMap<UserId, broadcast::Sender<LiveMessage>>>>,
}

impl MemoryHub {
    fn users(&self) -> MutexGuard<'_, HashMap<UserId, broadcast::Sender<LiveMessage>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users that somebody listens for.
    pub fn len(&self) -> usize {
        self.users().len()
    }

    /// Whether nobody listens at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RealtimeHub for MemoryHub {
    fn publish(&self, user: UserId, message: LiveMessage) {
        if let Some(listeners) = self.users().get(&user) {
            // Fails when the last listener is just leaving: then nobody is to hear it.
            let _ = listeners.send(message);
        }
    }

    fn tell_all(&self, message: &LiveMessage) {
        for listeners in self.users().values() {
            let _ = listeners.send(message.clone());
        }
    }

    fn is_heard(&self, user: UserId) -> bool {
        self.users().contains_key(&user)
    }

    fn subscribe(&self, user: UserId) -> Subscription {
        let receiver = self.users().entry(user).or_insert_with(|| broadcast::Sender::new(CAPACITY)).subscribe();
        let hub = self.clone();
        Subscription::new(receiver, move |receiver| {
            let mut users = hub.users();
            // Under the lock, so that of two who leave at once the second sees that it is the last.
            drop(receiver);
            if users.get(&user).is_some_and(|listeners| listeners.receiver_count() == 0) {
                users.remove(&user);
            }
        })
    }
}
