//! A client's presence in one namespace.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{
    EncodeError, Offset, Payload, Room,
    adapter::{AckEvent, Broadcast, SocketInfo, Target},
    emitter::Emitter,
    engine::{Handshake, Transport, conn::Conn},
    id::Id,
    namespace::Runtime,
    node,
    reason::DisconnectReason,
    recovery::{NotRecovered, Session, Sessions},
    sync::Mutex,
    worker::Op,
};

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Middlewares look at it.
    Pending = 0,
    /// It is in its rooms, and what comes for it is kept until it is known what it missed.
    Buffering = 1,
    /// Connected.
    Live = 2,
    Closed = 3,
}

/// What the socket, its handlers and its worker share.
pub(crate) struct Inner {
    pub(crate) id: Id,
    /// The secret of its session, if sessions are kept.
    pub(crate) pid: Option<Id>,
    pub(crate) conn: Arc<Conn>,
    pub(crate) namespace: Arc<Runtime>,
    phase: AtomicU8,
    epoch: AtomicU64,
    shared: Mutex<Shared>,
}

#[expect(clippy::box_collection, reason = "a pointer each while idle, and thousands of sockets are")]
struct Shared {
    rooms: Vec<Room>,
    user: Option<Box<str>>,
    data: Value,
    /// Little used; a pointer each while idle.
    acks: Option<Box<HashMap<u64, Acker>>>,
    extensions: Option<Box<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
    held: Option<Box<Held>>,
    recovery: Recovery,
    /// The session began after the events up to here.
    start: Offset,
}

/// Messages with the offset at which they stand.
type HeldMessages = Vec<(Option<Offset>, Bytes)>;

#[derive(Default)]
struct Held {
    messages: HeldMessages,
    bytes: usize,
}

/// Who waits for an acknowledgement.
pub(crate) enum Acker {
    One(oneshot::Sender<Payload>),
    Broadcast { to: mpsc::UnboundedSender<AckEvent>, expires: Instant },
}

/// What happens at the moment when a socket is connected.
pub(crate) struct Connect {
    /// Tells the client.
    pub(crate) frames: Bytes,
    /// For the handler: what the client connected with.
    pub(crate) auth: Option<ByteString>,
}

/// A socket that goes on: its connect packet, and what it missed.
pub(crate) struct Released {
    pub(crate) socket: Arc<Inner>,
    pub(crate) connect: Connect,
    pub(crate) missed: Vec<Bytes>,
    pub(crate) up_to: Offset,
}

/// How a socket's session came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// It is new.
    #[default]
    New,
    /// It goes on: id, rooms and data are as they were, and what was missed has been sent.
    Recovered,
    /// The client asked for its session and did not get it; the socket is new. Time to send the client what it needs
    /// to start over.
    Failed(NotRecovered),
}

impl Inner {
    pub(crate) fn new(conn: &Arc<Conn>, namespace: &Arc<Runtime>, id: Id, pid: Option<Id>) -> Arc<Self> {
        Arc::new(Self {
            id,
            pid,
            conn: conn.clone(),
            namespace: namespace.clone(),
            phase: AtomicU8::new(Phase::Pending as u8),
            epoch: AtomicU64::new(0),
            shared: Mutex::new(Shared {
                rooms: Vec::new(),
                user: None,
                data: Value::Null,
                acks: None,
                extensions: None,
                held: None,
                recovery: Recovery::New,
                start: Offset::ZERO,
            }),
        })
    }

    /// A socket that goes on with a session.
    pub(crate) fn resume(&self, from: &Inner, session: Session) {
        self.epoch.store(session.epoch, Ordering::Relaxed);
        let mut old = from.shared.lock();
        let mut shared = self.shared.lock();
        shared.user = old.user.take();
        shared.extensions = old.extensions.take();
        shared.recovery = Recovery::Recovered;
        shared.data = session.data;
        shared.start = session.start;
        // Rooms that a middleware has chosen for this connection are joined too.
        shared.rooms.clone_from(&old.rooms);
        for room in session.rooms {
            if *room != *session.sid && !shared.rooms.contains(&room) {
                shared.rooms.push(room);
            }
        }
    }

    /// The same socket, which nobody has met yet, in another namespace.
    pub(crate) fn moved_to(&self, namespace: &Arc<Runtime>) -> Arc<Self> {
        let moved = Self::new(&self.conn, namespace, self.id, self.pid);
        {
            let (mut from, mut to) = (self.shared.lock(), moved.shared.lock());
            to.rooms = std::mem::take(&mut from.rooms);
            to.user = from.user.take();
            to.data = from.data.take();
            to.extensions = from.extensions.take();
        }
        moved
    }

    /// Takes back what [`Self::resume`] gave to a socket that did not go on after all.
    pub(crate) fn take_back(&self, from: &Inner) {
        let mut given = from.shared.lock();
        let mut shared = self.shared.lock();
        shared.user = given.user.take();
        shared.extensions = given.extensions.take();
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Pending,
            1 => Phase::Buffering,
            2 => Phase::Live,
            _ => Phase::Closed,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.phase() == Phase::Live
    }

    fn change_phase(&self, from: Phase, to: Phase) -> bool {
        self.phase.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The socket is connected, if it has not ended meanwhile.
    pub(crate) fn go_live(&self) -> bool {
        let live = self.change_phase(Phase::Pending, Phase::Live);
        if live {
            self.conn.hub.stats.sockets.add(1);
        }
        live
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    // --- holding back ------------------------------------------------------------------------------

    pub(crate) fn begin_holding(&self) {
        self.shared.lock().held = Some(Box::default());
        self.change_phase(Phase::Pending, Phase::Buffering);
    }

    pub(crate) fn hold(&self, offset: Option<Offset>, frames: Bytes) {
        let limits = &self.conn.hub.config.limits;
        let mut shared = self.shared.lock();
        if let Some(held) = &mut shared.held
            && held.messages.len() < limits.queued_messages
            && held.bytes < limits.queued_bytes
        {
            held.bytes += frames.len();
            held.messages.push((offset, frames));
            return;
        }
        drop(shared);
        // To leave out a message would be a gap: the client comes back and asks again.
        self.conn.close(DisconnectReason::SlowConsumer);
    }

    /// The socket is connected from now on; gives what was kept for it. None if it has ended.
    pub(crate) fn release(&self) -> Option<HeldMessages> {
        let mut shared = self.shared.lock();
        let held = shared.held.take();
        if !self.change_phase(Phase::Buffering, Phase::Live) {
            return None;
        }
        self.conn.hub.stats.sockets.add(1);
        Some(held.map(|held| held.messages).unwrap_or_default())
    }

    // --- rooms -------------------------------------------------------------------------------------

    pub(crate) fn rooms(&self) -> Vec<Room> {
        self.shared.lock().rooms.clone()
    }

    /// Its rooms with its own, as the original lists them.
    pub(crate) fn all_rooms(&self) -> Vec<Room> {
        let mut rooms = vec![Room::from(self.id.as_str())];
        rooms.extend(self.rooms());
        rooms
    }

    /// Gives the rooms that are new to it.
    pub(crate) fn add_rooms(&self, rooms: &[Room]) -> Vec<Room> {
        let limits = &self.conn.hub.config.limits;
        let mut added = Vec::new();
        {
            let mut shared = self.shared.lock();
            if self.phase() == Phase::Closed {
                return added;
            }
            for room in rooms {
                if **room == *self.id.as_str() || shared.rooms.contains(room) {
                    continue;
                }
                if room.len() > limits.room_bytes {
                    self.conn.hub.stats.room_limits.one();
                    tracing::debug!(socket = %self.id, bytes = room.len(), "room refused: its name is too long");
                    continue;
                }
                if shared.rooms.len() >= limits.rooms_per_socket {
                    self.conn.hub.stats.room_limits.one();
                    tracing::debug!(socket = %self.id, most = limits.rooms_per_socket, "room refused: the socket is in as many as allowed");
                    break;
                }
                shared.rooms.push(room.clone());
                added.push(room.clone());
            }
        }
        if !added.is_empty() {
            self.session_changed();
        }
        added
    }

    /// Gives the rooms that it was in.
    pub(crate) fn remove_rooms(&self, rooms: &[Room]) -> Vec<Room> {
        let mut removed = Vec::new();
        {
            let mut shared = self.shared.lock();
            for room in rooms {
                if let Some(at) = shared.rooms.iter().position(|known| known == room) {
                    removed.push(shared.rooms.swap_remove(at));
                }
            }
        }
        if !removed.is_empty() {
            self.session_changed();
        }
        removed
    }

    // --- session -----------------------------------------------------------------------------------

    fn sessions(&self) -> Option<Arc<dyn Sessions>> {
        self.pid?;
        self.conn.hub.namespaces()?.adapter.sessions()
    }

    /// The session begins after the events up to here.
    pub(crate) fn starts_from(&self, start: Offset) {
        self.shared.lock().start = start;
    }

    /// The session as it is now.
    pub(crate) fn session(&self) -> Option<Session> {
        let pid = self.pid?;
        let shared = self.shared.lock();
        let mut rooms = vec![Room::from(self.id.as_str())];
        rooms.extend(shared.rooms.iter().cloned());
        Some(Session {
            pid: pid.to_string(),
            sid: self.id.to_string(),
            rooms,
            data: if shared.data.is_null() { Value::Object(serde_json::Map::new()) } else { shared.data.clone() },
            user: shared.user.as_deref().map(str::to_owned),
            start: shared.start,
            epoch: self.epoch(),
        })
    }

    /// Rooms or data changed: the session is written anew, if it has begun.
    pub(crate) fn session_changed(&self) {
        if self.phase() == Phase::Live
            && let Some(sessions) = self.sessions()
            && let Some(session) = self.session()
        {
            sessions.update(&self.namespace.name, session);
        }
    }

    // --- the end -----------------------------------------------------------------------------------

    /// The session went on elsewhere: this connection is an empty shell.
    pub(crate) fn supersede(self: &Arc<Self>) {
        self.conn.hub.stats.sessions_superseded.one();
        self.finish(DisconnectReason::Superseded);
        if self.conn.client.lock().is_idle() {
            self.conn.close(DisconnectReason::Superseded);
        }
    }

    /// The socket ends; nothing if it has ended already.
    pub(crate) fn finish(self: &Arc<Self>, reason: DisconnectReason) {
        let before = self.phase.swap(Phase::Closed as u8, Ordering::AcqRel);
        if before == Phase::Closed as u8 {
            return;
        }
        let hub = &self.conn.hub;
        hub.dispatch(&self.conn, Op::Remove(self.clone()));
        // Only now: who moves the connection to another worker meanwhile takes the socket out of the tables.
        self.conn.client.lock().remove(self);
        // Whoever waits for an acknowledgement learns that none will come.
        let (acks, held) = {
            let mut shared = self.shared.lock();
            (shared.acks.take(), shared.held.take())
        };
        drop((acks, held));
        if let Some(sessions) = self.sessions()
            && before != Phase::Pending as u8
            && let Some(pid) = self.pid
            && reason != DisconnectReason::Superseded
        {
            if reason.is_recoverable() {
                sessions.detach(&self.namespace.name, pid.as_str(), self.epoch());
            } else {
                sessions.end(&self.namespace.name, pid.as_str(), self.epoch());
            }
        }
        if before == Phase::Live as u8 {
            hub.stats.sockets.add(-1);
            let socket = Socket(self.clone());
            hub.run(self.conn.home(), Box::new(move || crate::events::disconnected(socket, reason)));
        }
    }

    // --- acknowledgements --------------------------------------------------------------------------

    pub(crate) fn expect_ack(&self, id: u64, acker: Acker) {
        const SWEEP_FROM: usize = 64;
        let mut shared = self.shared.lock();
        if self.phase() == Phase::Closed {
            return;
        }
        let acks = shared.acks.get_or_insert_default();
        if acks.len() >= SWEEP_FROM && acks.len().is_power_of_two() {
            let now = Instant::now();
            acks.retain(|_, acker| !matches!(acker, Acker::Broadcast { expires, .. } if *expires < now));
        }
        acks.insert(id, acker);
    }

    pub(crate) fn forget_ack(&self, id: u64) {
        let mut shared = self.shared.lock();
        if let Some(acks) = &mut shared.acks {
            acks.remove(&id);
            if acks.is_empty() {
                shared.acks = None;
            }
        }
    }

    /// The client acknowledged; one that nobody waits for is ignored.
    pub(crate) fn on_ack(&self, id: u64, payload: Payload) {
        let acker = {
            let mut shared = self.shared.lock();
            let Some(acks) = &mut shared.acks else { return };
            let acker = acks.remove(&id);
            if acks.is_empty() {
                shared.acks = None;
            }
            acker
        };
        // Who asked may have stopped waiting.
        match acker {
            Some(Acker::One(to)) => drop(to.send(payload)),
            Some(Acker::Broadcast { to, expires }) if Instant::now() <= expires => {
                drop(to.send(AckEvent::Ack(payload)));
            }
            Some(Acker::Broadcast { .. }) | None => {}
        }
    }

    pub(crate) fn info(&self) -> SocketInfo {
        let data = self.shared.lock().data.clone();
        SocketInfo {
            id: self.id.to_string(),
            handshake: self.conn.handshake.to_json(),
            rooms: self.all_rooms(),
            data: if data.is_null() { Value::Object(serde_json::Map::new()) } else { data },
        }
    }

    pub(crate) fn recovery_failed(&self, why: NotRecovered) {
        self.shared.lock().recovery = Recovery::Failed(why);
    }

    pub(crate) fn user(&self) -> Option<String> {
        self.shared.lock().user.as_deref().map(str::to_owned)
    }
}

/// A client in one namespace. Cheap to clone; may be kept and used from any thread.
///
/// Once the client is gone, what is sent to it is left out, as with the original: nothing fails.
#[derive(Clone)]
pub struct Socket(pub(crate) Arc<Inner>);

impl Socket {
    /// The socket's id; also the name of its own room. Kept when the session is recovered.
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// Name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace.name
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.0.conn.handshake
    }

    /// How the connection carries its packets now.
    pub fn transport(&self) -> Transport {
        self.0.conn.transport()
    }

    /// Whether the client is connected.
    pub fn is_connected(&self) -> bool {
        self.0.is_live()
    }

    /// How the socket's session came to be.
    pub fn recovery(&self) -> Recovery {
        self.0.shared.lock().recovery.clone()
    }

    /// Whether the socket goes on with an earlier session.
    pub fn recovered(&self) -> bool {
        self.recovery() == Recovery::Recovered
    }

    // --- sending -----------------------------------------------------------------------------------

    /// Sends an event. A tuple makes several arguments, `()` none.
    ///
    /// With connection state recovery, the event is stored and sent again to a client that missed it.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EncodeError> {
        self.emit_payload(Payload::event(event, data)?);
        Ok(())
    }

    /// Sends an event that may be lost: it is left out if the client can't take it at once, and is never sent again.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn emit_volatile<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EncodeError> {
        node::send_unstored(&self.0, Payload::event(event, data)?, true);
        Ok(())
    }

    /// Sends an event over this connection alone: it is not left out however busy the client is, but neither stored for recovery
    /// nor sent again.
    ///
    /// It goes out before all that is sent to the socket afterwards. In a cluster, events that are stored pass through the store
    /// first: such a one that was sent just before may come after it.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn emit_local<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), EncodeError> {
        self.emit_local_payload(Payload::event(event, data)?);
        Ok(())
    }

    /// [`Self::emit_local`] of an event as it came by [`crate::handler::Args`], or was made.
    pub fn emit_local_payload(&self, payload: Payload) {
        node::send_unstored(&self.0, payload, false);
    }

    /// Sends an event as it came by [`crate::handler::Args`], or was made.
    pub fn emit_payload(&self, payload: Payload) {
        let socket = &self.0;
        if socket.pid.is_some()
            && let Some(namespaces) = socket.conn.hub.namespaces()
        {
            let target = Target { rooms: vec![Room::from(socket.id.as_str())], except: Vec::new() };
            namespaces.adapter.broadcast(&socket.namespace.name, Broadcast { payload, target, volatile: false });
            socket.conn.hub.catch_up();
        } else {
            node::send_unstored(socket, payload, false);
        }
    }

    /// Sends an event and waits for the client's acknowledgement, for as long as `timeout`.
    ///
    /// Such an event is not stored for recovery: its answer could not find its way back.
    ///
    /// # Errors
    /// The client did not answer in time, went away, or answered something else; or the data has no form in JSON.
    pub async fn emit_with_ack<T, R>(&self, event: &str, data: &T, timeout: Duration) -> Result<R, AckError>
    where
        T: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        struct Forget<'a>(&'a Inner, u64);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                self.0.forget_ack(self.1);
            }
        }

        let payload = Payload::event(event, data)?;
        let socket = &self.0;
        let id = socket.namespace.next_ack();
        let (to, answer) = oneshot::channel();
        socket.expect_ack(id, Acker::One(to));
        let _forget = Forget(socket, id);
        let frames = socket.namespace.event_frames(Some(id), &payload);
        socket.conn.hub.dispatch(&socket.conn, Op::Send { socket: socket.clone(), frames, volatile: false });
        let answer = tokio::time::timeout(timeout, answer).await.map_err(|_| AckError::Timeout)?;
        Ok(answer.map_err(|_| AckError::Disconnected)?.decode()?)
    }

    /// The other sockets of the namespace that are in this room.
    pub fn to(&self, room: impl Into<Room>) -> Emitter {
        self.broadcast().to(room)
    }

    /// The other sockets of the namespace that are not in this room.
    pub fn except(&self, room: impl Into<Room>) -> Emitter {
        self.broadcast().except(room)
    }

    /// All other sockets of the namespace.
    pub fn broadcast(&self) -> Emitter {
        self.everyone().except(self.0.id.as_str())
    }

    /// All sockets of the namespace, this one included.
    pub fn everyone(&self) -> Emitter {
        Emitter::new(self.0.conn.hub.clone(), self.0.namespace.clone())
    }

    // --- rooms -------------------------------------------------------------------------------------

    /// Joins a room. A socket that is in as many rooms as [`crate::Limits::rooms_per_socket`] allows joins no other.
    pub fn join(&self, room: impl Into<Room>) {
        self.join_all([room.into()]);
    }

    /// Joins rooms.
    pub fn join_all(&self, rooms: impl IntoIterator<Item = Room>) {
        let rooms: Vec<_> = rooms.into_iter().collect();
        let added = self.0.add_rooms(&rooms);
        if !added.is_empty() {
            self.0.conn.hub.dispatch(&self.0.conn, Op::Join { socket: self.0.clone(), rooms: added });
        }
    }

    /// Leaves a room.
    pub fn leave(&self, room: impl Into<Room>) {
        let removed = self.0.remove_rooms(&[room.into()]);
        if !removed.is_empty() {
            self.0.conn.hub.dispatch(&self.0.conn, Op::Leave { socket: self.0.clone(), rooms: removed });
        }
    }

    /// The rooms it is in, without its own.
    pub fn rooms(&self) -> Vec<Room> {
        self.0.rooms()
    }

    // --- what the application keeps ----------------------------------------------------------------

    /// What [`Self::set_data`] has kept; `null` at first. Other nodes see it in [`Emitter::fetch_sockets`], and it
    /// outlives the connection where sessions are kept.
    pub fn data(&self) -> Value {
        self.0.shared.lock().data.clone()
    }

    /// Keeps a JSON object with the socket.
    ///
    /// # Errors
    /// The data has no form in JSON.
    pub fn set_data<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), serde_json::Error> {
        let data = serde_json::to_value(data)?;
        self.0.shared.lock().data = data;
        self.0.session_changed();
        Ok(())
    }

    /// Says who the client is. To be called by a middleware: a session is recovered only for the same user.
    pub fn set_user(&self, user: impl Into<String>) {
        self.0.shared.lock().user = Some(user.into().into_boxed_str());
    }

    /// Who the client is, as [`Self::set_user`] was told.
    pub fn user(&self) -> Option<String> {
        self.0.user()
    }

    /// Keeps a value of any type with the socket, on this node alone, for as long as it lives.
    pub fn insert_extension<T: Any + Send + Sync>(&self, value: T) {
        self.0.shared.lock().extensions.get_or_insert_default().insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// What [`Self::insert_extension`] has kept.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.shared.lock().extensions.as_ref()?.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    // --- the end -----------------------------------------------------------------------------------

    /// Disconnects the client from the namespace; with `close`, from all, and ends its connection. The session is over.
    pub fn disconnect(&self, close: bool) {
        self.0.conn.hub.dispatch(&self.0.conn, Op::Disconnect { socket: self.0.clone(), close });
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.id()).field("namespace", &self.namespace()).finish_non_exhaustive()
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Socket {}

/// Why an acknowledgement could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// None came in time.
    #[error("no acknowledgement came in time")]
    Timeout,
    /// The client went away.
    #[error("the client went away before it acknowledged")]
    Disconnected,
    /// The event could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The answer is not of the wanted type.
    #[error(transparent)]
    Decode(#[from] crate::DecodeError),
}
