//! Rooms that clients make by joining them. They are named `room:<name>` on the server, so that no name reaches a room of
//! another kind; who is in one may speak in it.

use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketio::{Namespace, Socket};

use super::call::{Asker, Call};
use super::presence::sockets as presence;

/// What the names of these rooms begin with on the server.
pub const PREFIX: &str = "room:";
/// Characters of a room's name.
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=64;
/// Characters of a message.
const CONTENT_LENGTH: std::ops::RangeInclusive<usize> = 1..=4000;

/// Adds the events of rooms.
pub fn mount(namespace: Namespace) -> Namespace {
    namespace.on("join", join).on("leave", leave).on("message", message)
}

/// The name of a room: 1 to 64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct RoomName(String);

impl TryFrom<String> for RoomName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if NAME_LENGTH.contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            Ok(Self(name))
        } else {
            Err("a room's name must be 1 to 64 characters, without control characters")
        }
    }
}

impl RoomName {
    /// Its room on the server.
    pub fn room(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// What is said in a room: text, and whatever else the client puts beside it is dropped.
#[derive(Debug, Deserialize)]
#[serde(expecting = "{room_id, content}")]
pub struct Said {
    #[serde(alias = "roomId")]
    room_id: RoomName,
    content: Value,
}

/// `join` name.
pub async fn join(call: Call<RoomName>) {
    call.answer(|asker, name| async move {
        let (socket, user) = (&asker.socket, asker.caller.id());
        if !is_in(socket, &name) {
            socket.join(name.room());
            if !is_in(socket, &name) {
                return Err(Refusal::new(Reason::TooManyAttempts, "the socket is in as many rooms as it may be"));
            }
            presence::in_room(&asker.desk, socket, &name.room(), true);
            tell(socket, &name, "user_joined", &json!({ "user_id": user, "room_id": name }));
        }
        Ok(json!({ "room_id": name }))
    })
    .await;
}

/// `leave` name.
pub async fn leave(call: Call<RoomName>) {
    call.answer(|asker, name| async move {
        if is_in(&asker.socket, &name) {
            asker.socket.leave(name.room());
            presence::in_room(&asker.desk, &asker.socket, &name.room(), false);
            let left = json!({ "user_id": asker.caller.id(), "room_id": name });
            tell(&asker.socket, &name, "user_left", &left);
        }
        Ok(json!({ "room_id": name }))
    })
    .await;
}

/// `message` {room_id, content}: to all in the room, its sender included, who must be one of them.
pub async fn message(call: Call<Said>) {
    call.answer(say).await;
}

async fn say(asker: Asker, said: Said) -> Result<Value, Refusal> {
    let Said { room_id, content } = said;
    if !is_in(&asker.socket, &room_id) {
        return Err(Refusal::new(Reason::NotAMember, "join the room first"));
    }
    let length = match &content {
        Value::String(text) => text.chars().count(),
        Value::Null => 0,
        other => other.to_string().len(),
    };
    if !CONTENT_LENGTH.contains(&length) {
        return Err(Refusal::invalid("/content", "must be 1 to 4000 characters"));
    }
    let message = json!({
        "room_id": room_id,
        "user_id": asker.caller.id(),
        "content": content,
        "timestamp": asker.desk.clock.now(),
    });
    let everyone = asker.socket.everyone().to(room_id.room());
    everyone
        .emit("message", &message)
        .map_err(|_| Refusal::new(Reason::Internal, "the message has no form in JSON"))?;
    Ok(message)
}

/// The client is gone for good: the rooms that it was in hear of it.
pub fn left(socket: &Socket, user: UserId) {
    for name in rooms_of(socket) {
        tell(socket, &name, "user_left", &json!({ "user_id": user, "room_id": name }));
    }
}

/// The client is back, although it was said to have left.
pub fn back(socket: &Socket, user: UserId) {
    for name in rooms_of(socket) {
        tell(socket, &name, "user_joined", &json!({ "user_id": user, "room_id": name }));
    }
}

/// Whether a socket is in any of these rooms.
pub fn is_in_any(socket: &Socket) -> bool {
    !rooms_of(socket).is_empty()
}

fn rooms_of(socket: &Socket) -> Vec<RoomName> {
    socket.rooms().iter().filter_map(|room| room.strip_prefix(PREFIX).map(|name| RoomName(name.to_owned()))).collect()
}

fn is_in(socket: &Socket, name: &RoomName) -> bool {
    let room = name.room();
    socket.rooms().iter().any(|joined| **joined == *room)
}

fn tell(socket: &Socket, name: &RoomName, event: &str, data: &Value) {
    if let Err(error) = socket.to(name.room()).emit(event, data) {
        tracing::error!(event, %error, "an event could not be encoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_calls_its_room_it_is_a_room_of_its_own() {
        for name in ["user:1", "live:dashboard", "chat:1", "room:x", "☕"] {
            let room: RoomName = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(room.room(), format!("room:{name}"));
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        assert!(RoomName::try_from("x".repeat(64)).is_ok());
        for bad in [String::new(), "x".repeat(65), "a\nb".to_owned()] {
            assert!(RoomName::try_from(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
