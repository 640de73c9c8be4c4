//! What a change of a room publishes.

use contracts::event::EventHead;
use contracts::event_data::{ChatMemberEvent, ChatMessageCreated, event_type};
use contracts::ids::{ChatRoomId, UserId};
use contracts::{Event, IdGenerator};
use serde::Serialize;

use super::ports::Occasion;
use crate::domain::chat::message::ChatMessage;

/// Makes the events of one change of one room, as every store publishes them.
pub struct RoomEvents<'a> {
    /// For their ids.
    pub ids: &'a dyn IdGenerator,
    /// Their subject.
    pub room_id: ChatRoomId,
    /// When and why.
    pub on: &'a Occasion,
}

impl RoomEvents<'_> {
    /// `chat.message_created`.
    pub fn message_created(&self, version: u64, message: &ChatMessage) -> Event {
        let data = ChatMessageCreated {
            id: message.id,
            room_id: message.room_id,
            seq: message.seq,
            user_id: message.user_id,
            content: message.content.clone(),
            client_id: message.client_id.clone(),
            created_at: message.created_at,
        };
        self.event(event_type::CHAT_MESSAGE_CREATED, version, &data)
    }

    /// `chat.member_joined`.
    pub fn member_joined(&self, version: u64, user_id: UserId) -> Event {
        let data = ChatMemberEvent { room_id: self.room_id, user_id };
        self.event(event_type::CHAT_MEMBER_JOINED, version, &data)
    }

    /// `chat.member_left`.
    pub fn member_left(&self, version: u64, user_id: UserId) -> Event {
        let data = ChatMemberEvent { room_id: self.room_id, user_id };
        self.event(event_type::CHAT_MEMBER_LEFT, version, &data)
    }

    fn event(&self, event_type: &str, version: u64, data: &impl Serialize) -> Event {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "notification",
            event_type,
            subject: self.room_id.to_string(),
            time: self.on.now,
            aggregate_version: version,
            traceparent: self.on.cause.traceparent.clone(),
            request_id: self.on.cause.request_id.clone(),
        };
        Event::new(head, data).expect("texts, numbers and ids always have a JSON form")
    }
}
