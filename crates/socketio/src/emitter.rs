//! Events and commands for many sockets.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    EncodeError, Payload, Room,
    adapter::{AckEvent, AdapterError, Broadcast, SocketInfo, Target},
    hub::{Hub, Namespaces},
    namespace::Runtime,
    node,
};

/// How long other nodes have to answer, unless said otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Addresses sockets of one namespace, on all nodes of the cluster: all of them, until rooms are named.
///
/// ```no_run
/// # fn example(io: socketio::SocketIo) -> Result<(), Box<dyn std::error::Error>> {
/// io.of("/")?.to("kitchen").except("trainees").emit("order", &("tea", 2))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    hub: Arc<Hub>,
    namespace: Arc<Runtime>,
    target: Target,
    volatile: bool,
    local: bool,
    timeout: Duration,
}

/// Not all sockets acknowledged in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} sockets acknowledged in time, not all", answers.len())]
pub struct IncompleteAcks {
    /// The answers that came.
    pub answers: Vec<Payload>,
}

/// Why a broadcast was not acknowledged by all.
#[derive(Debug, thiserror::Error)]
pub enum BroadcastAckError {
    /// Not all answered in time.
    #[error(transparent)]
    Incomplete(#[from] IncompleteAcks),
    /// The event could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Emitter {
    pub(crate) fn new(hub: Arc<Hub>, namespace: Arc<Runtime>) -> Self {
        Self { hub, namespace, target: Target::default(), volatile: false, local: false, timeout: ANSWER_WITHIN }
    }

    /// Only sockets in this room, or in another that is named. A socket in several of them gets an event once.
    #[must_use]
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.target.rooms.push(room.into());
        self
    }

    /// The same as [`Self::to`].
    #[must_use]
    pub fn within(self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// No socket in this room.
    #[must_use]
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.target.except.push(room.into());
        self
    }

    /// Events may be lost: they are left out where a client can't take them at once, and never sent again.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Only sockets of this node. Such events are not stored for recovery.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// How long sockets and nodes have to answer; 5 s unless said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn namespaces(&self) -> &Namespaces {
        self.hub.namespaces().expect("namespaces exist where Socket.IO is spoken, and emitters come from them")
    }

    fn broadcast(&self, payload: Payload) -> Broadcast {
        Broadcast { payload, target: self.target.clone(), volatile: self.volatile }
    }

    /// Sends an event. A tuple makes several arguments, `()` none.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EncodeError> {
        self.emit_payload(Payload::event(event, data)?);
        Ok(())
    }

    /// Sends an event as it came by [`crate::handler::Args`], or was made.
    pub fn emit_payload(&self, payload: Payload) {
        let broadcast = self.broadcast(payload);
        if self.local {
            node::deliver(&self.hub, &self.namespace, &broadcast, None, None);
        } else {
            self.namespaces().adapter.broadcast(&self.namespace.name, broadcast);
        }
        self.hub.catch_up();
    }

    /// Sends an event and gives the acknowledgements of all sockets it went to.
    ///
    /// # Errors
    /// Some did not acknowledge within [`Self::timeout`]: the answers that came are in the error. Or the data has no form
    /// in JSON.
    pub async fn emit_with_acks<T: Serialize + ?Sized>(
        &self,
        event: &str,
        data: &T,
    ) -> Result<Vec<Payload>, BroadcastAckError> {
        let broadcast = self.broadcast(Payload::event(event, data)?);
        let mut events = if self.local {
            node::deliver_locally_with_acks(&self.hub, &self.namespace, &broadcast, self.timeout)
        } else {
            self.namespaces().adapter.broadcast_with_acks(&self.namespace.name, broadcast, self.timeout)
        };
        let mut answers = Vec::new();
        let mut servers = None;
        let (mut counted, mut clients) = (0, 0);
        let all = async {
            while servers != Some(counted) || answers.len() < clients {
                match events.recv().await {
                    Some(AckEvent::Servers(count)) => servers = Some(count),
                    Some(AckEvent::Clients(count)) => {
                        counted += 1;
                        clients += count;
                    }
                    Some(AckEvent::Ack(answer)) => answers.push(answer),
                    None => return false,
                }
            }
            true
        };
        let complete = tokio::time::timeout(self.timeout, all).await.unwrap_or(false);
        if complete { Ok(answers) } else { Err(IncompleteAcks { answers }.into()) }
    }

    /// The sockets themselves.
    ///
    /// # Errors
    /// A node did not answer in time, or the cluster's store can't be reached.
    pub async fn fetch_sockets(&self) -> Result<Vec<SocketInfo>, AdapterError> {
        if self.local {
            return Ok(node::fetch(&self.hub, &self.namespace, &self.target).await);
        }
        self.namespaces().adapter.fetch(&self.namespace.name, self.target.clone(), self.timeout).await
    }

    /// Has the sockets join a room.
    pub fn sockets_join(&self, room: impl Into<Room>) {
        let rooms = vec![room.into()];
        if self.local {
            node::join(&self.hub, &self.namespace, &self.target, &rooms);
        } else {
            self.namespaces().adapter.join(&self.namespace.name, self.target.clone(), rooms);
        }
        self.hub.catch_up();
    }

    /// Has the sockets leave a room.
    pub fn sockets_leave(&self, room: impl Into<Room>) {
        let rooms = vec![room.into()];
        if self.local {
            node::leave(&self.hub, &self.namespace, &self.target, &rooms);
        } else {
            self.namespaces().adapter.leave(&self.namespace.name, self.target.clone(), rooms);
        }
        self.hub.catch_up();
    }

    /// Disconnects the sockets from the namespace; with `close`, their clients altogether.
    pub fn disconnect_sockets(&self, close: bool) {
        if self.local {
            node::disconnect(&self.hub, &self.namespace, &self.target, close);
        } else {
            self.namespaces().adapter.disconnect(&self.namespace.name, self.target.clone(), close);
        }
        self.hub.catch_up();
    }

    /// Sends an event to all other nodes, for their [`crate::Namespace::on_server_event`].
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn server_side_emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EncodeError> {
        self.namespaces().adapter.server_side_emit(&self.namespace.name, Payload::event(event, data)?);
        Ok(())
    }

    /// Sends an event to all other nodes and gives their answers, one each.
    ///
    /// # Errors
    /// A node did not answer in time, the cluster's store can't be reached, or the data has no form in JSON.
    pub async fn server_side_emit_with_acks<T: Serialize + ?Sized>(
        &self,
        event: &str,
        data: &T,
    ) -> Result<Vec<Payload>, ServerSideEmitError> {
        let payload = Payload::event(event, data)?;
        Ok(self.namespaces().adapter.server_side_emit_with_acks(&self.namespace.name, payload, self.timeout).await?)
    }

    /// How many nodes serve this namespace.
    ///
    /// # Errors
    /// The cluster's store can't be reached.
    pub async fn server_count(&self) -> Result<usize, AdapterError> {
        self.namespaces().adapter.server_count(&self.namespace.name).await
    }
}

/// Why other nodes did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerSideEmitError {
    /// Something between the nodes.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The event could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emitter")
            .field("namespace", &self.namespace.name)
            .field("target", &self.target)
            .field("volatile", &self.volatile)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
