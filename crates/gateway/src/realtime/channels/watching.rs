//! Who watches what on this gateway.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as TurnMutex;

use super::Channel;

/// The channels that sockets of this gateway watch, each with the number of its sockets.
#[derive(Default)]
pub struct Watchers {
    counts: Mutex<HashMap<Channel, usize>>,
}

impl Watchers {
    fn counts(&self) -> MutexGuard<'_, HashMap<Channel, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every channel that somebody watches here.
    pub fn channels(&self) -> Vec<Channel> {
        self.counts().keys().cloned().collect()
    }

    /// Whether somebody watches it here.
    pub fn watch(&self, channel: &Channel) -> bool {
        self.counts().contains_key(channel)
    }

    fn add(&self, channel: &Channel) {
        *self.counts().entry(channel.clone()).or_default() += 1;
    }

    fn remove(&self, channel: &Channel) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(channel) {
            *count -= 1;
            if *count == 0 {
                counts.remove(channel);
            }
        }
    }
}

/// What one socket watches. It is kept with the socket, and counted until the socket is gone.
pub struct Watching {
    watchers: Arc<Watchers>,
    channels: Mutex<BTreeSet<Channel>>,
    /// Held while a request to subscribe or unsubscribe is answered: they are answered in the order in which they came.
    pub(super) turn: TurnMutex<()>,
}

impl Watching {
    /// Nothing yet.
    pub fn new(watchers: &Arc<Watchers>) -> Self {
        Self { watchers: Arc::clone(watchers), channels: Mutex::default(), turn: TurnMutex::default() }
    }

    fn channels(&self) -> MutexGuard<'_, BTreeSet<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a channel.
    pub fn add(&self, channel: &Channel) {
        if self.channels().insert(channel.clone()) {
            self.watchers.add(channel);
        }
    }

    /// Takes a channel out.
    pub fn remove(&self, channel: &Channel) {
        if self.channels().remove(channel) {
            self.watchers.remove(channel);
        }
    }

    /// How many channels there would be with these.
    pub fn len_with(&self, more: &BTreeSet<Channel>) -> usize {
        self.channels().union(more).count()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for channel in std::mem::take(&mut *self.channels()) {
            self.watchers.remove(&channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_watched_until_its_last_socket_is_gone() {
        let watchers = Arc::new(Watchers::default());
        let (one, two) = (Watching::new(&watchers), Watching::new(&watchers));
        one.add(&Channel::Catalogue);
        one.add(&Channel::Catalogue);
        two.add(&Channel::Catalogue);
        two.add(&Channel::Dashboard);
        one.remove(&Channel::Catalogue);
        one.remove(&Channel::Catalogue);
        assert!(watchers.watch(&Channel::Catalogue) && watchers.watch(&Channel::Dashboard));
        assert_eq!(two.len_with(&[Channel::Catalogue, "product:TEA-1".parse().unwrap()].into()), 3);
        drop(two);
        assert!(watchers.channels().is_empty());
    }
}
