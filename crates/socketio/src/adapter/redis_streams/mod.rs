//! A cluster over Redis Streams, wire-compatible with `@socket.io/redis-streams-adapter` 0.3.1.
//!
//! What all nodes do goes through a stream, and every node does it when it reads it there, the sender too: so all have
//! one order, and the offset of the last event that a client got is a true watermark. Requests and their answers go over
//! pub/sub. All of it happens on one thread of the adapter's own; the calls of the [`Adapter`] only queue.

mod calls;
mod entries;
mod lane;
mod link;
mod names;
mod options;
mod publisher;
mod reader;
mod scripts;
mod sessions;
mod stats;
mod subscriber;
mod wire;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    thread,
    time::Duration,
};

use ahash::AHashMap;
use futures::future::{BoxFuture, FutureExt as _};
use redis::Client;
use tokio::{
    runtime::{Handle, Runtime},
    sync::{Notify, mpsc, oneshot, watch},
};

use self::{
    calls::Calls, lane::Lane, link::Link, options::Options, sessions::RedisSessions, stats::Counters,
    wire::entry::Order,
};
pub use self::{
    options::{BuildError, RedisStreamsBuilder},
    stats::RedisStreamsStats,
};
use super::{AckEvent, Adapter, AdapterError, Broadcast, Node, SocketInfo, Target, history::History};
use crate::{Payload, Room, recovery::Sessions};

/// The adapter. Clones are the same adapter.
#[derive(Clone)]
pub struct RedisStreams {
    inner: Arc<Inner>,
}

/// Ends the thread when the last clone goes.
struct Inner {
    shared: Arc<Shared>,
    sessions: Option<Arc<RedisSessions>>,
    /// Until it is started.
    runtime: Mutex<Option<Runtime>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

/// What all tasks have in common.
struct Shared {
    client: Client,
    /// Where Redis is, for logs.
    target: String,
    options: Options,
    counters: Counters,
    link: Link,
    /// By this the node knows its own entries again.
    node_id: String,
    node: OnceLock<Arc<dyn Node>>,
    handle: Handle,
    spaces: RwLock<AHashMap<Box<str>, Arc<Space>>>,
    lanes: Mutex<AHashMap<String, Arc<Lane>>>,
    opened: mpsc::UnboundedSender<Arc<Space>>,
    calls: Calls,
    stop: Notify,
}

/// A namespace.
struct Space {
    name: Arc<str>,
    /// The node's name in this namespace.
    uid: String,
    lane: Arc<Lane>,
    public_channel: String,
    private_channel: String,
    /// Whether answers arrive.
    subscribed: watch::Sender<bool>,
    /// The events read last, so that many clients that come back at once don't each read the stream; none before this
    /// node read any, and where it knows to have missed some.
    recent: Mutex<Option<History>>,
}

impl RedisStreams {
    /// An adapter for the Redis at `redis://[user:password@]host[:port][/database]`.
    pub fn builder(url: impl Into<String>) -> RedisStreamsBuilder {
        RedisStreamsBuilder::new(url)
    }

    fn new(client: Client, target: String, options: Options) -> Result<Self, BuildError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BuildError::Thread)?;
        let (opened, newly_opened) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            link: Link::new(client.clone()),
            client,
            target,
            options,
            counters: Counters::default(),
            node_id: names::random_id(),
            node: OnceLock::new(),
            handle: runtime.handle().clone(),
            spaces: RwLock::default(),
            lanes: Mutex::default(),
            opened,
            calls: Calls::default(),
            stop: Notify::new(),
        });
        let sessions =
            shared.options.recovery.clone().map(|recovery| RedisSessions::new(Arc::clone(&shared), recovery));
        let taken_over = sessions.clone();
        runtime.spawn(subscriber::run(Arc::clone(&shared), newly_opened, taken_over));
        runtime.spawn(calls::announce(Arc::clone(&shared)));
        if let Some(sessions) = &sessions {
            runtime.spawn(sessions::write(Arc::clone(sessions)));
            runtime.spawn(sessions::keep_alive(Arc::clone(sessions)));
        }
        let runtime = Mutex::new(Some(runtime));
        Ok(Self { inner: Arc::new(Inner { shared, sessions, runtime, ended: Mutex::new(None) }) })
    }

    /// What happened so far, in numbers.
    pub fn stats(&self) -> RedisStreamsStats {
        let shared = &self.inner.shared;
        let lanes = shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        shared.counters.queued.set(lanes.values().map(|lane| lane.queued()).sum());
        drop(lanes);
        shared.counters.snapshot()
    }

    fn order(&self, namespace: &str, order: Order) {
        let shared = &self.inner.shared;
        let space = shared.open(namespace);
        let Options { max_queued, max_queued_bytes, .. } = shared.options;
        let lane = Arc::clone(&space.lane);
        if !lane.push(space, order, max_queued, max_queued_bytes) {
            shared.drop_one("too many messages wait to be added to the stream");
        }
    }

    /// Does it on the adapter's thread, also where the caller has no runtime.
    fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, AdapterError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, AdapterError>> {
        self.inner.shared.ask(work)
    }
}

impl Space {
    fn recent(&self) -> MutexGuard<'_, Option<History>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn node(&self) -> &Arc<dyn Node> {
        self.node.get().expect("tasks run once the adapter is started")
    }

    /// The namespace, if it is open on this node.
    fn space(&self, namespace: &str) -> Option<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    fn open(self: &Arc<Self>, namespace: &str) -> Arc<Space> {
        if let Some(space) = self.space(namespace) {
            return space;
        }
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.get(namespace) {
            return Arc::clone(space);
        }
        let uid = names::random_id();
        let space = Arc::new(Space {
            name: namespace.into(),
            lane: self.lane(names::stream_of(namespace, &self.options)),
            public_channel: names::public_channel(namespace, &self.options),
            private_channel: names::private_channel(namespace, &uid, &self.options),
            uid,
            subscribed: watch::Sender::new(false),
            recent: Mutex::default(),
        });
        spaces.insert(namespace.into(), Arc::clone(&space));
        // It has no receiver once the adapter has ended.
        let _ = self.opened.send(Arc::clone(&space));
        space
    }

    /// The stream of this name, read and written from now on.
    fn lane(self: &Arc<Self>, stream: String) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(stream).or_insert_with_key(|stream| {
            let lane = Arc::new(Lane::new(stream.clone()));
            self.handle.spawn(reader::run(Arc::clone(self), Arc::clone(&lane)));
            self.handle.spawn(publisher::run(Arc::clone(self), Arc::clone(&lane)));
            lane
        });
        Arc::clone(lane)
    }

    /// What was read of this stream lately does not reach to what comes.
    fn forget_recent(&self, lane: &Lane) {
        for space in self.spaces.read().unwrap_or_else(PoisonError::into_inner).values() {
            if space.lane.stream == lane.stream {
                *space.recent() = None;
            }
        }
    }

    /// How this node numbers its entries; others ignore the field.
    fn sequence(&self, number: u64) -> String {
        format!("{}-{number}", self.node_id)
    }

    /// What [`Self::sequence`] numbered, if it was this node's.
    fn own_number(&self, sequence: &[u8]) -> Option<u64> {
        let number = sequence.strip_prefix(self.node_id.as_bytes())?.strip_prefix(b"-")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    fn drop_one(&self, reason: &'static str) {
        self.counters.dropped.add(1);
        // The first and then ever fewer lines: what floods a queue must not flood the log.
        if self.counters.dropped.get().is_power_of_two() {
            tracing::error!(dropped = self.counters.dropped.get(), "{reason}; dropped");
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, AdapterError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, AdapterError>> {
        let (done, result) = oneshot::channel();
        self.handle.spawn(async move {
            // Whoever asked may have gone.
            let _ = done.send(work.await);
        });
        let ended = || Err(AdapterError::Unavailable("the adapter has ended".to_owned()));
        async move { result.await.unwrap_or_else(|_| ended()) }.boxed()
    }
}

impl Adapter for RedisStreams {
    fn start(&self, node: Arc<dyn Node>) {
        let Inner { shared, runtime, ended, .. } = &*self.inner;
        let Some(runtime) = runtime.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // It is set before anything runs that asks for it.
        let _ = shared.node.set(node);
        let (done, end) = oneshot::channel::<()>();
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        let stopping = Arc::clone(shared);
        let started = thread::Builder::new().name("socketio-redis".to_owned()).spawn(move || {
            runtime.block_on(stopping.stop.notified());
            drop(runtime);
            drop(done);
        });
        match started {
            Ok(_) => tracing::info!(server = shared.target, "the cluster goes over Redis Streams"),
            Err(error) => tracing::error!(error = %error, "the thread that talks to Redis can't be started"),
        }
    }

    fn open(&self, namespace: &str) {
        self.inner.shared.open(namespace);
    }

    fn broadcast(&self, namespace: &str, broadcast: Broadcast) {
        self.order(namespace, Order::Broadcast(broadcast));
    }

    fn broadcast_with_acks(
        &self,
        namespace: &str,
        broadcast: Broadcast,
        timeout: Duration,
    ) -> mpsc::UnboundedReceiver<AckEvent> {
        let shared = Arc::clone(&self.inner.shared);
        let space = shared.open(namespace);
        let (acks, received) = mpsc::unbounded_channel();
        // This node's own clients don't wait for Redis.
        shared.node().deliver_with_acks(namespace, &broadcast, timeout, acks.clone());
        let handle = shared.handle.clone();
        handle.spawn(calls::broadcast(shared, space, broadcast, timeout, acks));
        received
    }

    fn join(&self, namespace: &str, target: Target, rooms: Vec<Room>) {
        self.order(namespace, Order::Join { target, rooms });
    }

    fn leave(&self, namespace: &str, target: Target, rooms: Vec<Room>) {
        self.order(namespace, Order::Leave { target, rooms });
    }

    fn disconnect(&self, namespace: &str, target: Target, close: bool) {
        self.order(namespace, Order::Disconnect { target, close });
    }

    fn fetch(
        &self,
        namespace: &str,
        target: Target,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<SocketInfo>, AdapterError>> {
        let shared = Arc::clone(&self.inner.shared);
        let space = shared.open(namespace);
        self.ask(calls::fetch(shared, space, target, timeout))
    }

    fn server_side_emit(&self, namespace: &str, payload: Payload) {
        let shared = &self.inner.shared;
        calls::server_emit(shared, &shared.open(namespace), payload);
    }

    fn server_side_emit_with_acks(
        &self,
        namespace: &str,
        payload: Payload,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Vec<Payload>, AdapterError>> {
        let shared = Arc::clone(&self.inner.shared);
        let space = shared.open(namespace);
        self.ask(calls::server_emit_with_acks(shared, space, payload, timeout))
    }

    fn server_count(&self, namespace: &str) -> BoxFuture<'static, Result<usize, AdapterError>> {
        let shared = Arc::clone(&self.inner.shared);
        let space = shared.open(namespace);
        self.ask(async move { calls::server_count(&shared, &space).await })
    }

    fn sessions(&self) -> Option<Arc<dyn Sessions>> {
        let sessions = self.inner.sessions.clone()?;
        Some(sessions)
    }

    fn flush(&self) -> BoxFuture<'static, Result<(), AdapterError>> {
        let shared = &self.inner.shared;
        let lanes = shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let stored: Vec<_> = lanes.values().map(Lane::stored).collect();
        drop(lanes);
        self.ask(async move {
            let all = futures::future::join_all(stored).await.into_iter().all(|stored| stored);
            if all { Ok(()) } else { Err(AdapterError::Unavailable("messages were dropped".to_owned())) }
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let (shared, sessions) = (Arc::clone(&self.inner.shared), self.inner.sessions.clone());
        let Some(ended) = self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return async {}.boxed();
        };
        let handle = shared.handle.clone();
        handle.spawn(async move {
            let flushed = tokio::time::timeout(shared.options.close_timeout, shared.flushed(sessions.as_deref()));
            if flushed.await.is_err() {
                tracing::warn!("the adapter ends before all could be sent");
            }
            shared.stop.notify_one();
        });
        async move {
            // The sender is dropped at the thread's end.
            let _ = ended.await;
        }
        .boxed()
    }
}

impl Shared {
    /// Waits until nothing waits to be sent.
    async fn flushed(&self, sessions: Option<&RedisSessions>) {
        let lanes: Vec<_> = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            lane.drained().await;
        }
        self.calls.announced().await;
        if let Some(sessions) = sessions {
            sessions.written().await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(runtime) = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // Never started; dropped as it is, it would wait, which async code may not.
            runtime.shutdown_background();
        }
    }
}
