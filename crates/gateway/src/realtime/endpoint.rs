//! The namespaces, put together: which events there are, and who answers them.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::UserId;
use serde_json::Value;
use socketio::handler::{Auth, State};
use socketio::{Builder, DisconnectReason, Limits, Namespace, Snapshot, Socket, SocketIo};
use tokio_util::sync::CancellationToken;

use super::channels::LiveUpdates;
use super::presence::sockets as presence;
use super::{Desk, Session, absence, authenticate, call, chat, inbox, metrics, recover, refresh, rooms};

/// Where it is mounted.
pub const PATH: &str = "/socket.io";
/// Bytes of one message: the longest text of the chat, and room for what surrounds it.
const MAX_PAYLOAD_BYTES: usize = 128 << 10;
/// Events of one connection in a second, on average.
const EVENTS_PER_SECOND: u32 = 50;
/// Rooms of one socket: those it joined, its chats, its channels.
const ROOMS_PER_SOCKET: usize = 1000;
/// How often the server's counters are carried over into the metrics.
const CARRY_EVERY: Duration = Duration::from_secs(1);

/// The server of one gateway; `builder` has been given its adapter.
pub fn build(builder: Builder, desk: &Desk) -> SocketIo {
    let limits = Limits {
        events_per_second: Some(EVENTS_PER_SECOND),
        rooms_per_socket: ROOMS_PER_SOCKET,
        attachments: 4,
        attachment_bytes: MAX_PAYLOAD_BYTES,
        ..Limits::default()
    };
    builder
        .path(PATH)
        .max_payload(MAX_PAYLOAD_BYTES)
        .limits(limits)
        .state(desk.clone())
        .namespace(everybody())
        .namespace(admins())
        .build()
}

/// `/`: for all who are signed in.
fn everybody() -> Namespace {
    let namespace = Namespace::new("/")
        .middleware(authenticate::anybody)
        .on_recover(recover::check)
        .on_connect(connected)
        .on_disconnect(disconnected)
        .on("auth:refresh", refresh::refresh)
        .on_any(call::unknown)
        .on_server_event(absence::EVENT, absence::heard);
    LiveUpdates::mount(presence::mount(inbox::mount(chat::mount(rooms::mount(namespace)))))
}

/// `/admin`: for admins.
fn admins() -> Namespace {
    let namespace = Namespace::new("/admin")
        .middleware(authenticate::admins)
        .on_connect(admin_connected)
        .on_disconnect(disconnected)
        .on("auth:refresh", refresh::refresh)
        .on_any(call::unknown);
    LiveUpdates::mount(namespace)
}

/// A client of `/`.
async fn connected(socket: Socket, auth: Option<Auth<Value>>, State(desk): State<Desk>) {
    let Some(session) = known(&desk, &socket) else { return };
    if socket.recovered() {
        if desk.absent.is_back(socket.id().as_str()) {
            rooms::back(&socket, session.caller().id());
            chat::join::back(&socket, session.caller().id());
        }
        chat::membership::recovered(&desk, &socket, &session);
    }
    let cursor = auth.and_then(|Auth(mut auth)| auth.get_mut("cursor").map(Value::take)).unwrap_or_default();
    let here = presence::connected(&desk, &socket, &session);
    futures::join!(here, inbox::follow(&desk, &socket, &session, &cursor));
}

/// A client of `/admin`.
async fn admin_connected(socket: Socket, State(desk): State<Desk>) {
    known(&desk, &socket);
}

/// Puts the client on the list of those who are connected; none if it is gone already.
fn known(desk: &Desk, socket: &Socket) -> Option<Arc<Session>> {
    let session = Session::of(socket)?;
    desk.sessions.add(socket, &session);
    // Its end may have come before this.
    if !socket.is_connected() {
        gone(desk, socket, &session, session.caller().id());
        return None;
    }
    Some(session)
}

async fn disconnected(socket: Socket, reason: DisconnectReason, State(desk): State<Desk>) {
    let Some(session) = Session::of(&socket) else { return };
    let user = session.caller().id();
    gone(&desk, &socket, &session, user);
    presence::disconnected(&desk, &socket, reason);
    chat::typing::end_of_all(&desk.chat, &socket);
    let (in_rooms, in_chats) = (rooms::is_in_any(&socket), !chat::rooms_of(&socket).is_empty());
    if (in_rooms || in_chats) && absence::is_for_good(&socket, reason).await {
        absence::tell(&desk, &socket);
        rooms::left(&socket, user);
        chat::leave::left(&socket, user);
    }
}

fn gone(desk: &Desk, socket: &Socket, session: &Session, user: UserId) {
    session.left.cancel();
    desk.sessions.remove(socket, user);
}

/// Keeps the metrics up to date until `ended` is cancelled.
pub async fn run(io: SocketIo, ended: CancellationToken) {
    let mut carried = Snapshot::default();
    while !ended.is_cancelled() {
        metrics::carry(&io, &mut carried);
        let _ = tokio::time::timeout(CARRY_EVERY, ended.cancelled()).await;
    }
    metrics::carry(&io, &mut carried);
}
