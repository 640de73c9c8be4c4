//! The port: from what the bus says to whoever listens.

use std::sync::Arc;

use contracts::ids::UserId;
use tokio::sync::broadcast;

use super::entry::Entry;

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveMessage {
    /// A new inbox entry, shared by all listeners.
    Entry(Arc<Entry>),
    /// Something about the user's access changed: ask again whether the token still counts.
    AccessChanged,
    /// Messages may have been missed on their way to the hub: read from the store what they were.
    Missed,
}

/// Hands messages for a user to all who listen for that user.
///
/// - A subscription hears everything published after `subscribe` returned, in the order of publishing, until it falls
///   further behind than the adapter keeps; then it is told so ([`Heard::Lagged`]) and goes on with what is still kept.
/// - Publishing never waits for a listener and costs nothing when nobody listens.
/// - A subscription that is dropped leaves nothing behind.
pub trait RealtimeHub: Send + Sync {
    /// Hands a message to those who listen for the user.
    fn publish(&self, user: UserId, message: LiveMessage);

    /// Hands a message to everybody who listens, for whichever user.
    fn tell_all(&self, message: &LiveMessage);

    /// Whether anybody listens for the user: if not, a message need not be rendered.
    fn is_heard(&self, user: UserId) -> bool;

    /// Begins to listen.
    fn subscribe(&self, user: UserId) -> Subscription;
}

/// What came of waiting for a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// This.
    Message(LiveMessage),
    /// Messages were missed: read from the store what they were.
    Lagged,
}

/// A listener's end; dropping it ends the listening.
pub struct Subscription {
    receiver: Option<broadcast::Receiver<LiveMessage>>,
    on_end: Option<Box<dyn FnOnce(broadcast::Receiver<LiveMessage>) + Send>>,
}

impl Subscription {
    /// A subscription to a channel; `on_end` gets the receiver back, to clean up after it.
    pub fn new(
        receiver: broadcast::Receiver<LiveMessage>,
        on_end: impl FnOnce(broadcast::Receiver<LiveMessage>) + Send + 'static,
    ) -> Self {
        Self { receiver: Some(receiver), on_end: Some(Box::new(on_end)) }
    }

    /// Waits for the next message; `None` when the hub has ended. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.as_mut()?.recv().await {
            Ok(message) => Some(Heard::Message(message)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Lagged),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let (Some(receiver), Some(on_end)) = (self.receiver.take(), self.on_end.take()) {
            on_end(receiver);
        }
    }
}
