//! What clients send. Objects may be written in either of the two usual ways: `room_id` or `roomId`.

use contracts::ids::ChatRoomId;
use contracts::{Reason, Refusal};
use serde::Deserialize;

use crate::shapes::chat::MarkRoomRead;

/// A room: its id alone, or as `{room_id}`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be the id of a room, or {room_id}")]
pub enum RoomArgument {
    /// Alone.
    Bare(String),
    /// In an object.
    Named {
        /// The id.
        #[serde(alias = "roomId")]
        room_id: String,
    },
}

impl RoomArgument {
    /// Its id. What is no id names no room, as in paths.
    ///
    /// # Errors
    /// `CHAT_ROOM_NOT_FOUND`.
    pub fn id(&self) -> Result<ChatRoomId, Refusal> {
        let (Self::Bare(id) | Self::Named { room_id: id }) = self;
        parse(id)
    }
}

/// Something to say.
#[derive(Debug, Deserialize)]
#[serde(expecting = "{room_id, content, client_id?}, ids and content texts")]
pub struct Said {
    #[serde(alias = "roomId")]
    room_id: String,
    /// What.
    pub content: String,
    /// The sender's own name for it.
    #[serde(default, alias = "clientId")]
    pub client_id: Option<String>,
}

impl Said {
    /// Where.
    ///
    /// # Errors
    /// `CHAT_ROOM_NOT_FOUND`.
    pub fn room_id(&self) -> Result<ChatRoomId, Refusal> {
        parse(&self.room_id)
    }
}

/// How far a room was read: up to a message, or up to a position.
#[derive(Debug, Deserialize)]
#[serde(expecting = "{room_id, message_id} or {room_id, seq}")]
pub struct Read {
    #[serde(alias = "roomId")]
    room_id: String,
    #[serde(default, alias = "messageId")]
    message_id: Option<String>,
    #[serde(default)]
    seq: Option<u64>,
}

impl Read {
    /// The room, and how far.
    ///
    /// # Errors
    /// `CHAT_ROOM_NOT_FOUND`.
    pub fn parts(self) -> Result<(ChatRoomId, MarkRoomRead), Refusal> {
        Ok((parse(&self.room_id)?, MarkRoomRead { seq: self.seq, message_id: self.message_id }))
    }
}

fn parse(id: &str) -> Result<ChatRoomId, Refusal> {
    id.parse().map_err(|_| Refusal::new(Reason::ChatRoomNotFound, Reason::ChatRoomNotFound.title()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0190a1b2-0000-7000-8000-0000000000dd";

    #[test]
    fn a_room_is_named_in_any_of_the_usual_ways() {
        for argument in [json!(ID), json!(ID.to_uppercase()), json!({ "room_id": ID }), json!({ "roomId": ID })] {
            let room: RoomArgument = serde_json::from_value(argument).unwrap();
            assert_eq!(room.id().unwrap().to_string(), ID);
        }
        let other: RoomArgument = serde_json::from_value(json!("general")).unwrap();
        assert_eq!(other.id().unwrap_err().reason, Reason::ChatRoomNotFound);
    }

    #[test]
    fn either_spelling_of_a_member_will_do() {
        let said: Said = serde_json::from_value(json!({ "roomId": ID, "content": "x", "clientId": "c" })).unwrap();
        assert_eq!((said.room_id().unwrap().to_string().as_str(), said.client_id.as_deref()), (ID, Some("c")));
        let read: Read = serde_json::from_value(json!({ "roomId": ID, "messageId": "m" })).unwrap();
        assert_eq!(read.parts().unwrap().1.message_id.as_deref(), Some("m"));
    }
}
