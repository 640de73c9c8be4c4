//! The ports: what the gateways of a cluster keep together about channels.

use std::time::Duration;

use async_trait::async_trait;

use super::Channel;

/// How long a channel counts as watched without being named again: longer than any session waits for its client to come
/// back, so that recovery finds what was published meanwhile.
pub const WATCHED_FOR: Duration = Duration::from_mins(5);
/// How often a gateway names the channels that its sockets watch.
pub const WATCH_EVERY: Duration = Duration::from_mins(1);

/// The store can't be reached; it is safe to try again.
#[derive(Debug, thiserror::Error)]
#[error("the store of channels can't be reached")]
pub struct ChannelStoreUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The versions of channels that have no version of their own to show.
///
/// - A version is never given twice, and each is the one before plus one, whichever gateway asks.
/// - A channel that nobody counted yet, or whose count was lost with the store, begins at the present time in milliseconds: above
///   whatever it had, since no channel moves a thousand times a second. All versions are whole numbers that JavaScript can hold.
#[async_trait]
pub trait ChannelVersions: Send + Sync {
    /// Counts each channel up by one; the new versions, in the order of `channels`.
    ///
    /// # Errors
    /// [`ChannelStoreUnavailable`]; some may have been counted. Those versions are then missing, and clients ask for a snapshot.
    async fn next(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable>;

    /// The versions as they are: what comes next is one more.
    ///
    /// # Errors
    /// [`ChannelStoreUnavailable`].
    async fn current(&self, channels: &[Channel]) -> Result<Vec<u64>, ChannelStoreUnavailable>;
}

/// Which channels anybody watches, on any gateway: for all others nothing is read, counted and sent.
#[async_trait]
pub trait WatchedChannels: Send + Sync {
    /// These are watched from now on, for [`WATCHED_FOR`]; again extends it.
    ///
    /// # Errors
    /// [`ChannelStoreUnavailable`].
    async fn watch(&self, channels: &[Channel]) -> Result<(), ChannelStoreUnavailable>;

    /// Whether each is watched, in the order of `channels`.
    ///
    /// # Errors
    /// [`ChannelStoreUnavailable`].
    async fn are_watched(&self, channels: &[Channel]) -> Result<Vec<bool>, ChannelStoreUnavailable>;
}
