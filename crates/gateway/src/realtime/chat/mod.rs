//! The chat over Socket.IO. Notification keeps the rooms, their members and messages, and judges who may do what.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`arguments`] | what clients send |
//! | [`join`], [`leave`] | who listens to a room |
//! | [`say`] | `message:send`: stores a message |
//! | [`push`] | `message:new`: tells the room what was stored, from the bus |
//! | [`typing`] | who is typing |
//! | [`read`] | how far members have read |
//! | [`membership`] | sockets of those who are members no more leave the room |
//! | [`limits`] | how much one user may send |
//!
//! Invariants:
//! - A socket is in the server's room `chat:<id>` only while its user is a member: it joins by `join:room` alone, which asks
//!   notification, and leaves when the membership ends, on every gateway.
//! - A message is pushed from the event that was stored with it, never by the gateway that took it: REST and sockets are told
//!   the same, and a gateway that dies in between loses nothing.

pub mod arguments;
pub mod join;
pub mod leave;
pub mod limits;
pub mod membership;
pub mod push;
pub mod read;
pub mod say;
pub mod typing;

use contracts::ids::ChatRoomId;
use contracts::{Reason, Refusal};
use serde::Serialize;
use socketio::{Emitter, Namespace, Socket};

use limits::Limits;
use typing::Typing;

/// What the names of these rooms begin with on the server.
pub const PREFIX: &str = "chat:";

/// What the chat knows on this gateway.
#[derive(Default)]
pub struct Chat {
    /// How much everybody has sent of late.
    pub limits: Limits,
    /// Who is typing.
    pub typing: Typing,
}

/// Adds the events of the chat.
pub fn mount(namespace: Namespace) -> Namespace {
    namespace
        .on("join:room", join::join)
        .on("leave:room", leave::leave)
        .on("message:send", say::send)
        .on("message:read", read::read)
        .on("typing:start", typing::start)
        .on("typing:stop", typing::stop)
}

/// A room of the chat, as a room of the server.
pub fn room(id: ChatRoomId) -> String {
    format!("{PREFIX}{id}")
}

/// The rooms of the chat that a socket is in.
pub fn rooms_of(socket: &Socket) -> Vec<ChatRoomId> {
    socket.rooms().iter().filter_map(|room| room.strip_prefix(PREFIX)?.parse().ok()).collect()
}

/// Whether a socket has joined a room.
fn is_in(socket: &Socket, id: ChatRoomId) -> bool {
    let room = room(id);
    socket.rooms().iter().any(|joined| **joined == *room)
}

/// # Errors
/// `NOT_A_MEMBER` for a socket that has not joined the room.
fn expect_in(socket: &Socket, id: ChatRoomId) -> Result<(), Refusal> {
    if is_in(socket, id) { Ok(()) } else { Err(Refusal::new(Reason::NotAMember, "join the room first")) }
}

fn tell<T: Serialize + ?Sized>(to: &Emitter, event: &str, data: &T) {
    if let Err(error) = to.emit(event, data) {
        tracing::error!(event, %error, "an event could not be encoded");
    }
}

/// Tells one client something over its connection here.
fn tell_only<T: Serialize + ?Sized>(socket: &Socket, event: &str, data: &T) {
    if let Err(error) = socket.emit_local(event, data) {
        tracing::error!(event, %error, "an event could not be encoded");
    }
}
