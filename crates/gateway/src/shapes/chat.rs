//! Rooms, members and messages of the chat.

use contracts::Refusal;
use contracts::Timestamp;
use contracts::grpc::notification;
use contracts::grpc::notification::mark_room_read_request::UpTo;
use contracts::ids::ChatRoomId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BadAnswer, PageLimit};

/// Where people talk.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatRoom {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// What it is called; `support:<order>` for the support room of an order.
    #[schema(example = "Tea talk")]
    pub name: String,
    /// `public`: everybody sees it and may join. `private`: its members alone see it.
    #[schema(example = "public")]
    pub visibility: String,
    /// Of a support room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Uuid)]
    pub order_id: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<notification::ChatRoom> for ChatRoom {
    fn from(room: notification::ChatRoom) -> Self {
        Self {
            id: room.id,
            name: room.name,
            visibility: room.visibility,
            order_id: room.order_id,
            created_at: Timestamp::from_unix_ms(room.created_at_unix_ms),
        }
    }
}

/// A room to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRoom {
    /// 1 to 64 characters in one line, not beginning with `support:`; need not be unique.
    #[schema(example = "Tea talk")]
    pub name: String,
    /// `public` or `private`.
    #[schema(example = "public")]
    pub visibility: String,
}

/// The order to talk about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSupportRoom {
    /// The order.
    #[schema(format = Uuid)]
    pub order_id: String,
}

/// Which rooms to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RoomQuery {
    /// Rooms on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only those that the caller is a member of.
    pub joined: Option<bool>,
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Somebody in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatMember {
    /// Who.
    #[schema(format = Uuid)]
    pub user_id: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
    /// `seq` of the last message that they have read; 0 for none.
    pub read_seq: u64,
    /// That message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Uuid)]
    pub read_message_id: Option<String>,
}

impl From<notification::ChatMember> for ChatMember {
    fn from(member: notification::ChatMember) -> Self {
        Self {
            user_id: member.user_id,
            joined_at: Timestamp::from_unix_ms(member.joined_at_unix_ms),
            read_seq: member.read_seq,
            read_message_id: member.read_message_id,
        }
    }
}

/// Who becomes a member.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Whom to add; the caller joins when it is left out.
    #[schema(nullable = false, format = Uuid)]
    pub user_id: Option<String>,
}

/// What somebody said in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatMessage {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// Where it was said.
    #[schema(format = Uuid)]
    pub room_id: String,
    /// Its position: gapless from 1 for each room.
    pub seq: u64,
    /// Who said it.
    #[schema(format = Uuid)]
    pub user_id: String,
    /// What was said.
    pub content: String,
    /// The sender's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_id: Option<String>,
    /// When it was said.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<notification::ChatMessage> for ChatMessage {
    fn from(message: notification::ChatMessage) -> Self {
        Self {
            id: message.id,
            room_id: message.room_id,
            seq: message.seq,
            user_id: message.user_id,
            content: message.content,
            client_id: message.client_id,
            created_at: Timestamp::from_unix_ms(message.created_at_unix_ms),
        }
    }
}

/// Something to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostMessage {
    /// 1 to 4000 characters, kept as they are; not blank, no control characters but line breaks and tabs.
    #[schema(example = "Can the cups be wrapped separately?")]
    pub content: String,
    /// The caller's own name for the message, 1 to 64 characters: the same one again in this room is the same message.
    #[schema(nullable = false, example = "web-7f3a-1")]
    pub client_id: Option<String>,
}

/// Which messages to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The messages next before this `seq`. With neither `before` nor `after`: the newest.
    #[param(value_type = Option<u64>)]
    pub before: Option<Seq>,
    /// The messages next after this `seq`.
    #[param(value_type = Option<u64>)]
    pub after: Option<Seq>,
    /// Messages on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
}

/// A position, as a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Seq(pub u64);

impl TryFrom<String> for Seq {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "must be a whole number from 0")
    }
}

/// A part of a room's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryPage {
    /// Oldest first.
    pub items: Vec<ChatMessage>,
    /// The `before` of the next page, or its `after` if this one was asked for with `after`; null when there are no more.
    #[schema(required = true, example = json!(null))]
    pub next_cursor: Option<String>,
    /// `seq` of the newest message of the room; 0 for an empty one.
    pub last_seq: u64,
}

impl HistoryPage {
    /// A page from the service's answer to a question with `after` or without.
    pub fn of(page: notification::ListMessagesResponse, onwards: bool) -> Self {
        let farthest = if onwards { page.items.last() } else { page.items.first() };
        let next_cursor = farthest.filter(|_| page.has_more).map(|message| message.seq.to_string());
        let items = page.items.into_iter().map(ChatMessage::from).collect();
        Self { items, next_cursor, last_seq: page.last_seq }
    }
}

/// Up to which message the caller has read: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRoomRead {
    /// By position.
    #[schema(nullable = false)]
    pub seq: Option<u64>,
    /// By id.
    #[schema(nullable = false, format = Uuid)]
    pub message_id: Option<String>,
}

impl MarkRoomRead {
    /// The question to the service.
    ///
    /// # Errors
    /// `INVALID_REQUEST` unless one of the two is given.
    pub fn into_request(self, room_id: ChatRoomId) -> Result<notification::MarkRoomReadRequest, Refusal> {
        let up_to = match (self.seq, self.message_id) {
            (Some(seq), None) => UpTo::Seq(seq),
            (None, Some(id)) => UpTo::MessageId(id),
            (Some(_), Some(_)) => return Err(Refusal::invalid("/message_id", "can't be given together with seq")),
            (None, None) => return Err(Refusal::invalid("/seq", "or message_id must be given")),
        };
        Ok(notification::MarkRoomReadRequest { room_id: room_id.to_string(), up_to: Some(up_to) })
    }
}

/// How far the caller has read a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadPosition {
    /// Which room.
    #[schema(format = Uuid)]
    pub room_id: String,
    /// `seq` of the last message that was read.
    pub read_seq: u64,
    /// That message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Uuid)]
    pub read_message_id: Option<String>,
    /// Messages of others after it.
    pub unread: u64,
}

impl From<notification::ReadPosition> for ReadPosition {
    fn from(position: notification::ReadPosition) -> Self {
        Self {
            room_id: position.room_id,
            read_seq: position.read_seq,
            read_message_id: position.read_message_id,
            unread: position.unread,
        }
    }
}

/// What is unread in one room.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomUnread {
    /// Which room.
    #[schema(format = Uuid)]
    pub room_id: String,
    /// Messages of others after the caller's read position.
    pub count: u64,
    /// `seq` of the last message that the caller has read; 0 for none.
    pub read_seq: u64,
    /// `seq` of the newest message; 0 for an empty room.
    pub last_seq: u64,
}

impl From<notification::UnreadCount> for RoomUnread {
    fn from(unread: notification::UnreadCount) -> Self {
        Self { room_id: unread.room_id, count: unread.count, read_seq: unread.read_seq, last_seq: unread.last_seq }
    }
}

/// The message in an answer to posting.
///
/// # Errors
/// [`BadAnswer`] when there is none.
pub fn posted(answer: notification::PostMessageResponse) -> Result<(ChatMessage, bool), BadAnswer> {
    let message = answer.message.ok_or(BadAnswer("no message to a post"))?;
    Ok((message.into(), answer.repeated_send))
}
