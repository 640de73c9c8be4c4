//! How the nodes of a cluster reach each other's sockets.
//!
//! An [`Adapter`] carries broadcasts and requests between nodes; the [`Node`] is what it finds on its own node: the
//! sockets and rooms that live there. Core code asks the adapter, the adapter answers for the other nodes and turns
//! back to its own node for the rest, so that one node and many run the same path.

mod clock;
mod history;
mod local;
#[cfg(feature = "redis")]
mod redis_streams;
mod target;

pub use clock::{Clock, SystemClock};
pub use local::LocalAdapter;
#[cfg(feature = "redis")]
pub use redis_streams::{BuildError, RedisStreams, RedisStreamsBuilder, RedisStreamsStats};

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{Offset, Payload, Room, recovery::Sessions};

/// Which sockets of a namespace are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Sockets in any of these rooms; all sockets of the namespace if empty.
    pub rooms: Vec<Room>,
    /// But none that is in one of these.
    pub except: Vec<Room>,
}

/// An event for many sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The event's name and arguments.
    pub payload: Payload,
    /// Who gets it.
    pub target: Target,
    /// It may be lost by a socket that can't take it at once, and is never replayed.
    pub volatile: bool,
}

/// What comes back to the sender of a broadcast that asks for acknowledgements. The answer is whole when as many
/// [`AckEvent::Clients`] as `Servers` says have come, and as many [`AckEvent::Ack`] as they add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckEvent {
    /// This many nodes were asked, the sender's own among them. Comes once.
    Servers(usize),
    /// One node sent the event to this many sockets.
    Clients(usize),
    /// One client's answer: its arguments.
    Ack(Payload),
}

/// A socket somewhere in the cluster, as `fetchSockets` tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketInfo {
    /// The socket's id.
    pub id: String,
    /// The head of its request, in the shape of Socket.IO's `handshake` object.
    pub handshake: Value,
    /// The rooms it is in, its own included.
    pub rooms: Vec<Room>,
    /// What the application keeps with it; `{}` if nothing.
    pub data: Value,
}

/// A node's own sockets, as an adapter needs them. Nothing here waits; what is called in some order happens in that
/// order at every socket.
pub trait Node: Send + Sync + 'static {
    /// Sends the event to the sockets of this node. Where `offset` is given, it is appended to the event's arguments,
    /// and every socket of the namespace on this node counts as having been served up to it.
    fn deliver(&self, namespace: &str, broadcast: &Broadcast, offset: Option<Offset>);

    /// Sends the event to the sockets of this node and asks each for an acknowledgement: one `Clients`, then an `Ack`
    /// for each answer that comes before `timeout`.
    fn deliver_with_acks(
        &self,
        namespace: &str,
        broadcast: &Broadcast,
        timeout: Duration,
        acks: mpsc::UnboundedSender<AckEvent>,
    );

    /// Has the sockets join the rooms.
    fn join(&self, namespace: &str, target: &Target, rooms: &[Room]);

    /// Has the sockets leave the rooms.
    fn leave(&self, namespace: &str, target: &Target, rooms: &[Room]);

    /// Disconnects the sockets from the namespace; with `close`, their connections too.
    fn disconnect(&self, namespace: &str, target: &Target, close: bool);

    /// The sockets of this node.
    fn fetch(&self, namespace: &str, target: &Target) -> BoxFuture<'static, Vec<SocketInfo>>;

    /// Another node's `serverSideEmit`: runs the handlers. `reply` is given if an answer is wanted, and dropped
    /// unanswered if no handler gives one.
    fn server_event(&self, namespace: &str, payload: Payload, reply: Option<oneshot::Sender<Payload>>);

    /// The session went on elsewhere: a half-open socket of an epoch before `epoch` ends here without a word to its
    /// client and without touching the session.
    fn superseded(&self, namespace: &str, pid: &str, epoch: u64);
}

/// Why something could not be done across the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The store between the nodes can't be reached.
    #[error("the cluster's store can't be reached: {0}")]
    Unavailable(String),
    /// Some nodes did not answer in time.
    #[error("{received} of {expected} nodes answered in time")]
    Timeout {
        /// Nodes that answered.
        received: usize,
        /// Nodes that were asked.
        expected: usize,
    },
}

/// The contract between nodes. Every adapter passes the same suite.
///
/// Calls that return nothing never wait and never fail: what can't be sent now is kept, in order, and sent when the
/// store is back, as far as the adapter's own bounds allow (it logs and counts what it had to drop). They may be called
/// from any thread, with or without an async runtime.
pub trait Adapter: Send + Sync + 'static {
    /// Begins to work for this node. Called once, before anything else.
    fn start(&self, node: Arc<dyn Node>);

    /// A namespace came to be on this node. Called once for each.
    fn open(&self, namespace: &str);

    /// Sends the event to sockets of all nodes, this one included, in one order at all of them.
    fn broadcast(&self, namespace: &str, broadcast: Broadcast);

    /// Like [`Self::broadcast`], asking every socket for an acknowledgement. Nothing comes after `timeout`.
    fn broadcast_with_acks(
        &self,
        namespace: &str,
        broadcast: Broadcast,
        timeout: Duration,
    ) -> mpsc::UnboundedReceiver<AckEvent>;

    /// Has the sockets join rooms, on all nodes.
    fn join(&self, namespace: &str, target: Target, rooms: Vec<Room>);

    /// Has the sockets leave rooms, on all nodes.
    fn leave(&self, namespace: &str, target: Target, rooms: Vec<Room>);

    /// Disconnects the sockets, on all nodes.
    fn disconnect(&self, namespace: &str, target: Target, close: bool);

    /// The sockets of all nodes.
    fn fetch(
        &self,
        namespace: &str,
        target: Target,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<SocketInfo>, AdapterError>>;

    /// Runs the handlers of this server event on all other nodes.
    fn server_side_emit(&self, namespace: &str, payload: Payload);

    /// Like [`Self::server_side_emit`]; gives each other node's answer.
    fn server_side_emit_with_acks(
        &self,
        namespace: &str,
        payload: Payload,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<Payload>, AdapterError>>;

    /// How many nodes serve this namespace, this one included.
    fn server_count(&self, namespace: &str) -> BoxFuture<'static, Result<usize, AdapterError>>;

    /// Where the sessions of connection state recovery are kept; `None` if this adapter was built without recovery.
    fn sessions(&self) -> Option<Arc<dyn Sessions>>;

    /// Waits until the store has all that was broadcast before the call, by [`Self::broadcast`], [`Self::join`],
    /// [`Self::leave`] and [`Self::disconnect`]; for as long as that takes. At once where nothing is kept to be sent.
    ///
    /// The future fails if some of it was dropped, or the adapter has ended.
    fn flush(&self) -> BoxFuture<'static, Result<(), AdapterError>>;

    /// Sends what is still kept, leaves the cluster and ends what [`Self::start`] began.
    fn close(&self) -> BoxFuture<'static, ()>;
}
