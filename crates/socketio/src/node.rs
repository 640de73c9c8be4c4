//! This node's sockets, for adapters and for what stays on the node.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Offset, Payload, Room,
    adapter::{AckEvent, Broadcast, Node, SocketInfo, Target},
    events,
    hub::Hub,
    namespace::Runtime,
    recovery::Sessions,
    socket::Inner,
    worker::{AckRequest, Delivery, Op, Tally},
};

/// The way from an adapter to its node. It keeps nothing alive.
#[derive(Default)]
pub(crate) struct LocalNode {
    hub: OnceLock<Weak<Hub>>,
}

impl LocalNode {
    pub(crate) fn connect(&self, hub: &Arc<Hub>) {
        // Set once, by the builder.
        let _ = self.hub.set(Arc::downgrade(hub));
    }

    /// The server and one of its namespaces; neither after the server is gone.
    fn find(&self, namespace: &str) -> Option<(Arc<Hub>, Arc<Runtime>)> {
        let hub = self.hub.get()?.upgrade()?;
        let namespace = hub.namespaces()?.find(namespace)?;
        Some((hub, namespace))
    }
}

/// Sends to the sockets of this node: encoded once, one operation for each worker.
pub(crate) fn deliver(
    hub: &Arc<Hub>,
    namespace: &Runtime,
    broadcast: &Broadcast,
    offset: Option<Offset>,
    acks: Option<AckRequest>,
) {
    hub.stats.broadcasts.one();
    let Some(sessions) = hub.namespaces().and_then(|namespaces| namespaces.adapter.sessions()) else {
        post(hub, namespace, broadcast, &broadcast.payload, None, acks);
        return;
    };
    if let Some(offset) = offset {
        let stamped = broadcast.payload.with_offset(offset);
        let mut served = namespace.served.lock();
        *served = Some(offset);
        post(hub, namespace, broadcast, &stamped, Some(offset), acks);
    } else if acks.is_none() && is_taken_for_offset(&broadcast.payload) {
        stamped(namespace, &*sessions, broadcast, |delivery| {
            hub.post_all(|| Op::Deliver(delivery.clone()));
        });
    } else {
        post(hub, namespace, broadcast, &broadcast.payload, None, acks);
    }
}

/// A client takes the last argument of any event for an offset, if it is a string. For one that is not stored, that has
/// to be where the client already is, or its session could not be recovered.
///
/// With an acknowledgement, a function comes last.
pub(crate) fn is_taken_for_offset(payload: &Payload) -> bool {
    // Also the name of an event without arguments is such a string.
    payload.json().strip_suffix(']').is_some_and(|json| json.trim_end().ends_with('"'))
}

fn post(
    hub: &Arc<Hub>,
    namespace: &Runtime,
    broadcast: &Broadcast,
    payload: &Payload,
    offset: Option<Offset>,
    acks: Option<AckRequest>,
) {
    let delivery = Arc::new(Delivery {
        namespace: namespace.index(),
        frames: namespace.event_frames(acks.as_ref().map(|request| request.id), payload),
        target: broadcast.target.clone(),
        volatile: broadcast.volatile,
        offset,
        stands_at: offset,
        acks,
    });
    let workers = hub.post_all(|| Op::Deliver(delivery.clone()));
    if let Some(request) = &delivery.acks {
        request.found.expect(workers, &request.to);
    }
}

/// Posts one that is not stored, and is old news to a socket that has been served beyond where the others are.
fn stamped(namespace: &Runtime, sessions: &dyn Sessions, broadcast: &Broadcast, post: impl FnOnce(&Arc<Delivery>)) {
    // Held until the event is among the others of its namespace, so that no client is ahead of the stamp by then.
    let served = namespace.served.lock();
    let stamp = served.unwrap_or_else(|| sessions.position(&namespace.name));
    let right_after = Offset { sequence: stamp.sequence.saturating_add(1), ..stamp };
    let delivery = Arc::new(Delivery {
        namespace: namespace.index(),
        frames: namespace.event_frames(None, &broadcast.payload.with_offset(stamp)),
        target: broadcast.target.clone(),
        volatile: broadcast.volatile,
        offset: None,
        stands_at: Some(right_after),
        acks: None,
    });
    post(&delivery);
}

/// Sends to one socket what is not stored.
pub(crate) fn send_unstored(socket: &Arc<Inner>, payload: Payload, volatile: bool) {
    let (conn, namespace) = (&socket.conn, &socket.namespace);
    if socket.pid.is_some()
        && is_taken_for_offset(&payload)
        && let Some(sessions) = conn.hub.namespaces().and_then(|namespaces| namespaces.adapter.sessions())
    {
        let target = Target { rooms: vec![Room::from(socket.id.as_str())], except: Vec::new() };
        let broadcast = Broadcast { payload, target, volatile };
        stamped(namespace, &*sessions, &broadcast, |delivery| conn.hub.post(conn, Op::Deliver(delivery.clone())));
        conn.hub.catch_up();
        return;
    }
    let frames = namespace.event_frames(None, &payload);
    conn.hub.dispatch(conn, Op::Send { socket: socket.clone(), frames, volatile });
}

fn deliver_with_acks(
    hub: &Arc<Hub>,
    namespace: &Runtime,
    broadcast: &Broadcast,
    timeout: Duration,
    to: mpsc::UnboundedSender<AckEvent>,
) {
    let request = AckRequest {
        id: namespace.next_ack(),
        expires: Instant::now() + timeout,
        to,
        found: Arc::new(Tally::default()),
    };
    deliver(hub, namespace, broadcast, None, Some(request));
}

/// For an emitter that asks this node's sockets alone.
pub(crate) fn deliver_locally_with_acks(
    hub: &Arc<Hub>,
    namespace: &Runtime,
    broadcast: &Broadcast,
    timeout: Duration,
) -> mpsc::UnboundedReceiver<AckEvent> {
    let (to, events) = mpsc::unbounded_channel();
    // The receiver is still here.
    let _ = to.send(AckEvent::Servers(1));
    deliver_with_acks(hub, namespace, broadcast, timeout, to);
    events
}

pub(crate) fn join(hub: &Hub, namespace: &Runtime, target: &Target, rooms: &[Room]) {
    let (target, rooms) = (Arc::new(target.clone()), Arc::<[Room]>::from(rooms));
    hub.post_all(|| Op::JoinAll { namespace: namespace.index(), target: target.clone(), rooms: rooms.clone() });
}

pub(crate) fn leave(hub: &Hub, namespace: &Runtime, target: &Target, rooms: &[Room]) {
    let (target, rooms) = (Arc::new(target.clone()), Arc::<[Room]>::from(rooms));
    hub.post_all(|| Op::LeaveAll { namespace: namespace.index(), target: target.clone(), rooms: rooms.clone() });
}

pub(crate) fn disconnect(hub: &Hub, namespace: &Runtime, target: &Target, close: bool) {
    let target = Arc::new(target.clone());
    hub.post_all(|| Op::DisconnectAll { namespace: namespace.index(), target: target.clone(), close });
}

pub(crate) fn fetch(hub: &Hub, namespace: &Runtime, target: &Target) -> BoxFuture<'static, Vec<SocketInfo>> {
    let (to, mut found) = mpsc::unbounded_channel();
    let target = Arc::new(target.clone());
    hub.post_all(|| Op::Fetch { namespace: namespace.index(), target: target.clone(), to: to.clone() });
    drop(to);
    // A worker that ends drops its operations, and its sender with them.
    Box::pin(async move {
        let mut sockets = Vec::new();
        while let Some(part) = found.recv().await {
            sockets.extend(part);
        }
        sockets
    })
}

impl Node for LocalNode {
    fn deliver(&self, namespace: &str, broadcast: &Broadcast, offset: Option<Offset>) {
        if let Some((hub, namespace)) = self.find(namespace) {
            deliver(&hub, &namespace, broadcast, offset, None);
        }
    }

    fn deliver_with_acks(
        &self,
        namespace: &str,
        broadcast: &Broadcast,
        timeout: Duration,
        acks: mpsc::UnboundedSender<AckEvent>,
    ) {
        match self.find(namespace) {
            Some((hub, namespace)) => deliver_with_acks(&hub, &namespace, broadcast, timeout, acks),
            // Who asks counts the answers of all nodes.
            None => drop(acks.send(AckEvent::Clients(0))),
        }
    }

    fn join(&self, namespace: &str, target: &Target, rooms: &[Room]) {
        if let Some((hub, namespace)) = self.find(namespace) {
            join(&hub, &namespace, target, rooms);
        }
    }

    fn leave(&self, namespace: &str, target: &Target, rooms: &[Room]) {
        if let Some((hub, namespace)) = self.find(namespace) {
            leave(&hub, &namespace, target, rooms);
        }
    }

    fn disconnect(&self, namespace: &str, target: &Target, close: bool) {
        if let Some((hub, namespace)) = self.find(namespace) {
            disconnect(&hub, &namespace, target, close);
        }
    }

    fn fetch(&self, namespace: &str, target: &Target) -> BoxFuture<'static, Vec<SocketInfo>> {
        match self.find(namespace) {
            Some((hub, namespace)) => fetch(&hub, &namespace, target),
            None => Box::pin(async { Vec::new() }),
        }
    }

    fn server_event(&self, namespace: &str, payload: Payload, reply: Option<oneshot::Sender<Payload>>) {
        if let Some((hub, namespace)) = self.find(namespace) {
            let worker_hub = hub.clone();
            hub.run(0, Box::new(move || events::from_node(worker_hub, &namespace, payload, reply)));
        }
    }

    fn superseded(&self, namespace: &str, pid: &str, epoch: u64) {
        if let Some((hub, namespace)) = self.find(namespace)
            && let Ok(pid) = pid.parse()
        {
            hub.post_all(|| Op::Supersede { namespace: namespace.index(), pid, epoch });
        }
    }
}
