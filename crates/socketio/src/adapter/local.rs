//! One node alone, all of it in memory.

mod sessions;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use ahash::AHashMap;
use futures::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::mpsc;

use self::sessions::LocalSessions;
use super::{
    AckEvent, Adapter, AdapterError, Broadcast, Clock, Node, SocketInfo, SystemClock, Target, history::History,
};
use crate::{
    Offset, Payload, Room,
    recovery::{RecoveryOptions, Sessions},
};

/// The adapter of a server that runs as one node. With recovery it outlives lost connections, but not its process.
pub struct LocalAdapter {
    shared: Arc<Shared>,
    sessions: Option<Arc<LocalSessions>>,
}

/// What the adapter and its sessions have in common.
struct Shared {
    node: OnceLock<Arc<dyn Node>>,
    recovery: Option<Recovery>,
    streams: RwLock<AHashMap<Box<str>, Arc<Stream>>>,
}

struct Recovery {
    options: RecoveryOptions,
    clock: Arc<dyn Clock>,
    /// Offsets before this one were given by another process.
    began: Offset,
}

/// The one order of a namespace. What is done at its sockets is done while this is held, so that all of them see the
/// same order; the node neither waits nor calls back, except for the position.
struct Stream {
    order: Mutex<Option<History>>,
    /// The last offset given. The node asks for it in the midst of a delivery, while the order is held.
    position: Mutex<Offset>,
}

impl LocalAdapter {
    /// Without recovery.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared::new(None)), sessions: None }
    }

    /// Keeps sessions and events for clients that come back.
    pub fn with_recovery(options: RecoveryOptions) -> Self {
        Self::with_recovery_and_clock(options, Arc::new(SystemClock::new()))
    }

    /// The same, by this clock.
    pub fn with_recovery_and_clock(options: RecoveryOptions, clock: Arc<dyn Clock>) -> Self {
        let began = Offset { time_ms: clock.unix_ms(), sequence: 0 };
        let shared = Arc::new(Shared::new(Some(Recovery { options, clock, began })));
        Self { sessions: Some(Arc::new(LocalSessions::new(Arc::clone(&shared)))), shared }
    }

    fn with_node(&self, namespace: &str, act: impl FnOnce(&dyn Node)) {
        let stream = self.shared.stream(namespace);
        let _order = stream.lock();
        act(&**self.shared.node());
    }
}

impl Default for LocalAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn new(recovery: Option<Recovery>) -> Self {
        Self { node: OnceLock::new(), recovery, streams: RwLock::default() }
    }

    fn node(&self) -> &Arc<dyn Node> {
        self.node.get().expect("the adapter is started before anything else is asked of it")
    }

    fn stream(&self, namespace: &str) -> Arc<Stream> {
        if let Some(stream) = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(namespace) {
            return Arc::clone(stream);
        }
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Stream::new(self.recovery.as_ref()));
        Arc::clone(streams.entry(namespace.into()).or_insert_with(new))
    }
}

impl Stream {
    fn new(recovery: Option<&Recovery>) -> Self {
        Self {
            order: Mutex::new(recovery.map(|it| History::new(it.began, &it.options))),
            position: Mutex::new(recovery.map_or(Offset::ZERO, |it| it.began)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<History>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> Offset {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, offset: Offset) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }
}

impl Adapter for LocalAdapter {
    fn start(&self, node: Arc<dyn Node>) {
        // A second call would be a mistake of the caller: the first node stays.
        let _ = self.shared.node.set(node);
    }

    fn open(&self, namespace: &str) {
        self.shared.stream(namespace);
    }

    fn broadcast(&self, namespace: &str, broadcast: Broadcast) {
        let stream = self.shared.stream(namespace);
        let mut history = stream.lock();
        let node = self.shared.node();
        match (&mut *history, &self.shared.recovery) {
            (Some(history), Some(recovery)) if !broadcast.volatile => {
                let offset = history.next(recovery.clock.unix_ms());
                node.deliver(namespace, &broadcast, Some(offset));
                history.keep(offset, broadcast);
                stream.move_to(offset);
            }
            _ => node.deliver(namespace, &broadcast, None),
        }
    }

    fn broadcast_with_acks(
        &self,
        namespace: &str,
        broadcast: Broadcast,
        timeout: Duration,
    ) -> mpsc::UnboundedReceiver<AckEvent> {
        let (acks, received) = mpsc::unbounded_channel();
        // The receiver is at hand: this can't fail.
        let _ = acks.send(AckEvent::Servers(1));
        self.with_node(namespace, |node| node.deliver_with_acks(namespace, &broadcast, timeout, acks));
        received
    }

    fn join(&self, namespace: &str, target: Target, rooms: Vec<Room>) {
        self.with_node(namespace, |node| node.join(namespace, &target, &rooms));
    }

    fn leave(&self, namespace: &str, target: Target, rooms: Vec<Room>) {
        self.with_node(namespace, |node| node.leave(namespace, &target, &rooms));
    }

    fn disconnect(&self, namespace: &str, target: Target, close: bool) {
        self.with_node(namespace, |node| node.disconnect(namespace, &target, close));
    }

    fn fetch(
        &self,
        namespace: &str,
        target: Target,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<SocketInfo>, AdapterError>> {
        self.shared.node().fetch(namespace, &target).map(Ok).boxed()
    }

    fn server_side_emit(&self, _namespace: &str, _payload: Payload) {}

    fn server_side_emit_with_acks(
        &self,
        _namespace: &str,
        _payload: Payload,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<Payload>, AdapterError>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn server_count(&self, _namespace: &str) -> BoxFuture<'static, Result<usize, AdapterError>> {
        ready(Ok(1)).boxed()
    }

    fn sessions(&self) -> Option<Arc<dyn Sessions>> {
        let sessions = self.sessions.clone()?;
        Some(sessions)
    }

    fn flush(&self) -> BoxFuture<'static, Result<(), AdapterError>> {
        ready(Ok(())).boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}
