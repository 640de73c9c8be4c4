//! The ports in memory: for a gateway that is alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{Clock, Timestamp};

use super::Channel;
use super::ports::{ChannelStoreUnavailable, ChannelVersions, WATCHED_FOR, WatchedChannels};

/// Channels whose watch has run out are dropped at most this often, when one is watched.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Versions and watched channels of this process.
pub struct MemoryChannels {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    versions: HashMap<Channel, u64>,
    watched_until: HashMap<Channel, Timestamp>,
    swept_at: Timestamp,
}

impl MemoryChannels {
    /// Nothing counted, nothing watched.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, channels: &[Channel], step: u64) -> Vec<u64> {
        let first = self.clock.now().unix_ms().unsigned_abs();
        let mut state = self.state();
        let mut count = |channel: &Channel| {
            let version = state.versions.entry(channel.clone()).or_insert(first);
            *version += step;
            *version
        };
        channels.iter().map(&mut count).collect()
    }
}

#[async_trait]
impl ChannelVersions for MemoryChannels {
    async fn next(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable> {
        Ok(self.count(channels, 1))
    }

    async fn current(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable> {
        Ok(self.count(channels, 0))
    }
}

#[async_trait]
impl WatchedChannels for MemoryChannels {
    async fn watch(&self, channels: &[Channel]) -> Result<(), ChannelStoreUnavailable> {
        let now = self.clock.now();
        let mut state = self.state();
        for channel in channels {
            state.watched_until.insert(channel.clone(), now.plus(WATCHED_FOR));
        }
        if now.since(state.swept_at) >= SWEEP_EVERY {
            state.swept_at = now;
            state.watched_until.retain(|_, until| *until > now);
        }
        Ok(())
    }

    async fn are_watched(&self, channels: &[Channel]) -> Result<Vec<bool>, ChannelStoreUnavailable> {
        let now = self.clock.now();
        let state = self.state();
        let is_watched = |channel: &Channel| state.watched_until.get(channel).is_some_and(|until| *until > now);
        Ok(channels.iter().map(is_watched).collect())
    }
}
