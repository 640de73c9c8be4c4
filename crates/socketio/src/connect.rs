//! How a client joins a namespace: middlewares, then its session or a new one.
//!
//! Source: Socket.IO protocol v5, "connection to a namespace"; connection state recovery as in docs/adr/0025.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use futures::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    Offset,
    client::Client,
    codec::{self, Body},
    engine::{conn::Conn, frame},
    events,
    handler::{AckTo, Context},
    id::Id,
    namespace::{BoxHandler, Runtime},
    reason::DisconnectReason,
    recovery::{Claim, Claimed, Missed, NotRecovered, Sessions},
    socket::{Connect, Inner, Phase, Released, Socket},
    worker::Op,
};

/// A middleware's refusal. The client gets it as `connect_error`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    message: String,
    data: Option<Value>,
}

impl ConnectError {
    /// A refusal with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds what the client finds in `error.data`.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    fn to_json(&self) -> String {
        let mut error = json!({ "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error.to_string()
    }
}

impl From<String> for ConnectError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for ConnectError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

/// What the client's library adds to the connect packet when it has had a session.
#[derive(Deserialize)]
struct Resume {
    pid: Option<String>,
    offset: Option<Value>,
}

/// How long a client that comes back waits for a store that can't be reached, before it starts over.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// A client asks to join a namespace.
pub(crate) fn begin(conn: &Arc<Conn>, namespace: &ByteString, auth: Option<ByteString>) {
    let joining = Joining { conn: conn.clone(), name: namespace.clone(), auth };
    events::run(&conn.hub, || Box::pin(joining.run()));
}

struct Joining {
    conn: Arc<Conn>,
    name: ByteString,
    auth: Option<ByteString>,
}

impl Joining {
    async fn run(self) {
        let hub = &self.conn.hub;
        let Some(namespaces) = hub.namespaces() else { return };
        let find = || namespaces.find_or_plan(&self.name);
        let found = panic::catch_unwind(AssertUnwindSafe(find)).unwrap_or_else(|cause| {
            events::panicked(hub, &*cause);
            None
        });
        let Some(planned) = found else {
            self.refuse(&ConnectError::new("Invalid namespace"));
            return;
        };
        let sessions = namespaces.adapter.sessions();
        let fresh = Inner::new(&self.conn, &planned, Id::random(), sessions.as_ref().map(|_| Id::random()));
        if let Err(refusal) = self.ask(&planned.spec.middlewares, &fresh).await {
            hub.stats.refused_by_middleware.one();
            self.refuse(&refusal);
            return;
        }
        if fresh.phase() == Phase::Closed {
            // The connection was closed by the middleware.
            return;
        }
        // Only now that somebody may enter it: what anybody could ask for would fill the list.
        let Some(namespace) = namespaces.open(&planned, hub.config.limits.dynamic_namespaces) else {
            self.refuse(&ConnectError::new("Too many namespaces"));
            return;
        };
        let fresh = if Arc::ptr_eq(&namespace, &planned) { fresh } else { fresh.moved_to(&namespace) };
        let Some(sessions) = sessions else {
            if self.conn.client.lock().joined(&fresh) {
                let connect = Some(self.connect(connect_frame(&fresh, None)));
                hub.dispatch(&self.conn, Op::Add { socket: fresh, connect, added: None });
            }
            return;
        };
        let mut lost = None;
        if let Some(claim) = self.claim(&fresh) {
            match self.resume(&namespace, &*sessions, &fresh, claim).await {
                Ok(()) => {
                    hub.stats.sessions_recovered.one();
                    return;
                }
                Err(Ended::ConnectionClosed) => return,
                Err(Ended::NotRecovered(why)) => {
                    hub.stats.sessions_not_recovered.one();
                    tracing::debug!(namespace = &*namespace.name, error = %why, "session not recovered");
                    fresh.recovery_failed(why.clone());
                    lost = Some(why);
                }
            }
        }
        // A failure leaves the client without a session it may never notice it lacks: see `start`.
        let _ = self.start(&namespace, &*sessions, &fresh, lost).await;
    }

    fn refuse(&self, refusal: &ConnectError) {
        self.conn.client.lock().refused(&self.name);
        Client::send(&self.conn, &codec::encode(&self.name, &Body::ConnectError(refusal.to_json().into())));
    }

    async fn ask(
        &self,
        handlers: &[BoxHandler<Result<(), ConnectError>>],
        socket: &Arc<Inner>,
    ) -> Result<(), ConnectError> {
        for handler in handlers {
            let asking = async { handler(&mut self.context(socket)).await };
            AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|cause| {
                events::panicked(&self.conn.hub, &*cause);
                Err(ConnectError::new("Internal server error"))
            })?;
        }
        Ok(())
    }

    fn context(&self, socket: &Arc<Inner>) -> Context {
        Context {
            hub: self.conn.hub.clone(),
            socket: Some(Socket(socket.clone())),
            payload: None,
            ack: AckTo::Nobody,
            auth: self.auth.clone(),
            reason: None,
        }
    }

    fn connect(&self, frames: bytes::Bytes) -> Connect {
        Connect { frames, auth: self.auth.clone() }
    }

    fn claim(&self, fresh: &Inner) -> Option<Claim> {
        let resume: Resume = serde_json::from_str(self.auth.as_deref()?).ok()?;
        let offset = match resume.offset {
            None | Some(Value::Null) => None,
            Some(Value::String(offset)) => Some(offset),
            // Not what a client sends: no offset of anything.
            Some(other) => Some(other.to_string()),
        };
        Some(Claim { pid: resume.pid?, offset, user: fresh.user() })
    }

    /// Puts the socket in its worker's tables, where it keeps what comes; gives the offset up to which that worker had
    /// delivered.
    async fn add(&self, socket: &Arc<Inner>) -> Result<Offset, Ended> {
        if !self.conn.client.lock().joined(socket) {
            return Err(Ended::ConnectionClosed);
        }
        let (added, position) = oneshot::channel();
        self.conn.hub.dispatch(&self.conn, Op::Add { socket: socket.clone(), connect: None, added: Some(added) });
        position.await.map_err(|_| Ended::ConnectionClosed)
    }

    /// A new session.
    async fn start(
        &self,
        namespace: &Arc<Runtime>,
        sessions: &dyn Sessions,
        socket: &Arc<Inner>,
        lost: Option<NotRecovered>,
    ) -> Result<(), Ended> {
        // What is delivered from here on reaches the socket once it is in the tables; the worker may be ahead of this.
        let known = sessions.position(&namespace.name);
        let start = self.add(socket).await?.max(known);
        socket.starts_from(start);
        let session = socket.session().ok_or(Ended::ConnectionClosed)?;
        let rooms = session.rooms.clone();
        if let Err(error) = sessions.begin(&namespace.name, session).await {
            // The store goes on trying; until it is back, the client could not be recovered anyway.
            tracing::debug!(%error, "session not kept yet");
        }
        if socket.phase() == Phase::Closed {
            // Its end may have come before its beginning. The client never heard of it.
            if let Some(pid) = &socket.pid {
                sessions.end(&namespace.name, pid.as_str(), socket.epoch());
            }
            return Err(Ended::ConnectionClosed);
        }
        self.release(socket, connect_frame(socket, lost.as_ref()), Vec::new(), Offset::ZERO);
        catch_up(sessions, socket, &rooms);
        Ok(())
    }

    /// The session that the client asks for.
    async fn resume(
        &self,
        namespace: &Arc<Runtime>,
        sessions: &dyn Sessions,
        fresh: &Arc<Inner>,
        claim: Claim,
    ) -> Result<(), Ended> {
        if claim.pid.parse::<Id>().is_err() {
            // No session has such a secret; nor does the store have to be asked for keys of a client's choice.
            return Err(NotRecovered::UnknownSession.into());
        }
        let Claimed { session, from } = self.patiently(|| sessions.claim(&namespace.name, claim.clone())).await?;
        // From here on the session is this connection's, to keep or to end.
        let end = |epoch| sessions.end(&namespace.name, &session.pid, epoch);
        let (Ok(sid), Ok(pid)) = (session.sid.parse(), session.pid.parse()) else {
            end(session.epoch);
            return Err(NotRecovered::UnknownSession.into());
        };
        let epoch = session.epoch;
        let socket = Inner::new(&self.conn, namespace, sid, Some(pid));
        socket.resume(fresh, session.clone());
        if let Err(refusal) = self.ask(&namespace.spec.on_recover, &socket).await {
            fresh.take_back(&socket);
            end(epoch);
            return Err(NotRecovered::Refused(refusal.to_string()).into());
        }
        if let Err(closed) = self.add(&socket).await {
            sessions.detach(&namespace.name, pid.as_str(), epoch);
            return Err(closed);
        }
        // Whatever is not in this answer comes live, and has been kept for the socket since it is in the tables.
        let missed = self.patiently(|| sessions.missed(&namespace.name, socket.all_rooms(), from)).await;
        match missed.and_then(|missed| self.bounded(missed)) {
            Ok(missed) => {
                let frames = missed
                    .events
                    .iter()
                    .map(|(offset, payload)| namespace.event_frames(None, &payload.with_offset(*offset)))
                    .collect();
                self.release(&socket, connect_frame(&socket, None), frames, missed.up_to);
                // Rooms may have changed; and if another connection claimed the session after this one, this is told here.
                if let Some(session) = socket.session() {
                    sessions.update(&namespace.name, session);
                }
                Ok(())
            }
            Err(why) => {
                fresh.take_back(&socket);
                end(epoch);
                socket.finish(DisconnectReason::Superseded);
                if self.conn.is_closed() {
                    return Err(Ended::ConnectionClosed);
                }
                Err(why.into())
            }
        }
    }

    /// Asks again for a while where the store can't be reached: a session that is given up for that is lost, and stores come
    /// back.
    async fn patiently<T>(
        &self,
        ask: impl Fn() -> BoxFuture<'static, Result<T, NotRecovered>>,
    ) -> Result<T, NotRecovered> {
        let begun = Instant::now();
        loop {
            match ask().await {
                Err(NotRecovered::Store(error)) if begun.elapsed() < PATIENCE && !self.conn.is_closed() => {
                    tracing::debug!(%error, "session not found yet: asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// More than may wait for a connection would only cost it its life, again and again.
    fn bounded(&self, missed: Missed) -> Result<Missed, NotRecovered> {
        let limits = &self.conn.hub.config.limits;
        let bytes: usize = missed.events.iter().map(|(_, payload)| payload.size_bytes()).sum();
        let fits = missed.events.len() < limits.queued_messages && bytes < limits.queued_bytes;
        if fits { Ok(missed) } else { Err(NotRecovered::Trimmed) }
    }

    fn release(&self, socket: &Arc<Inner>, connect: bytes::Bytes, missed: Vec<bytes::Bytes>, up_to: Offset) {
        let released = Box::new(Released { socket: socket.clone(), connect: self.connect(connect), missed, up_to });
        self.conn.hub.dispatch(&self.conn, Op::Release(released));
    }
}

/// The session was written with these rooms; it is written anew if the socket's are others by now.
fn catch_up(sessions: &dyn Sessions, socket: &Arc<Inner>, written: &[crate::Room]) {
    let rooms = socket.all_rooms();
    let same = rooms.len() == written.len() && rooms.iter().all(|room| written.contains(room));
    if !same && let Some(session) = socket.session() {
        sessions.update(&socket.namespace.name, session);
    }
}

/// Why a session did not begin or go on.
enum Ended {
    ConnectionClosed,
    NotRecovered(NotRecovered),
}

impl From<NotRecovered> for Ended {
    fn from(why: NotRecovered) -> Self {
        Self::NotRecovered(why)
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionClosed => f.write_str("the connection ended"),
            Self::NotRecovered(why) => write!(f, "{why}"),
        }
    }
}

/// The packet that tells the client it is connected; with a word about the session it asked for and did not get.
fn connect_frame(socket: &Inner, lost: Option<&NotRecovered>) -> bytes::Bytes {
    let mut connected = json!({ "sid": socket.id.as_str() });
    if let Some(pid) = &socket.pid {
        connected["pid"] = pid.as_str().into();
    }
    if let Some(why) = lost {
        connected["recovery"] = json!({ "recovered": false, "code": why.code(), "message": why.to_string() });
    }
    let packet = codec::encode(&socket.namespace.name, &Body::Connect(Some(connected.to_string().into())));
    frame::text(b'4', &packet)
}
