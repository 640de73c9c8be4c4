//! Messages to values of the domain and back.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::Refusal;
use contracts::grpc::notification as proto;
use contracts::grpc::notification::mark_room_read_request::UpTo;
use contracts::ids::{ChatRoomId, UserId};
use uuid::Uuid;

use crate::application::chat::Page;
use crate::application::chat::ports::{ReadPosition, ReadUpTo, RoomUnread};
use crate::application::chat::read_history::HistoryPage;
use crate::domain::chat::member::Member;
use crate::domain::chat::message::{ChatMessage, ClientId, Content, HistoryRange};
use crate::domain::chat::room::{Room, RoomName, Visibility};

/// An id in a field; the gateway has looked at those in paths.
pub(super) fn id<T: FromStr<Err: ToString>>(text: &str, field: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: T::Err| Refusal::invalid(field, error))
}

pub(super) fn room_name(text: &str) -> Result<RoomName, Refusal> {
    RoomName::parse(text).map_err(|error| Refusal::invalid("/name", error))
}

pub(super) fn visibility(text: &str) -> Result<Visibility, Refusal> {
    Visibility::find(text).ok_or_else(|| Refusal::invalid("/visibility", "must be public or private"))
}

pub(super) fn content(text: String) -> Result<Content, Refusal> {
    Content::parse(text).map_err(|error| Refusal::invalid("/content", error))
}

pub(super) fn client_id(text: Option<String>) -> Result<Option<ClientId>, Refusal> {
    text.map(ClientId::parse).transpose().map_err(|error| Refusal::invalid("/client_id", error))
}

pub(super) fn range(before: Option<u64>, after: Option<u64>) -> Result<HistoryRange, Refusal> {
    match (before, after) {
        (None, None) => Ok(HistoryRange::Latest),
        (Some(before), None) => Ok(HistoryRange::Before(before)),
        (None, Some(after)) => Ok(HistoryRange::After(after)),
        (Some(_), Some(_)) => Err(Refusal::invalid("after", "can't be given together with before")),
    }
}

pub(super) fn up_to(message: Option<UpTo>) -> Result<ReadUpTo, Refusal> {
    match message {
        Some(UpTo::Seq(seq)) => Ok(ReadUpTo::Seq(seq)),
        Some(UpTo::MessageId(text)) => Ok(ReadUpTo::Message(id(&text, "/message_id")?)),
        None => Err(Refusal::invalid("/seq", "or message_id must be given")),
    }
}

/// A cursor is the id of the last item of a page, opaque to clients.
fn encode_cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// `None` for the first page.
fn decode_cursor(cursor: &str) -> Result<Option<Uuid>, Refusal> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    bytes.map(Some).ok_or_else(|| Refusal::invalid("cursor", "must be the next_cursor of an earlier page"))
}

pub(super) fn room_cursor(cursor: &str) -> Result<Option<ChatRoomId>, Refusal> {
    Ok(decode_cursor(cursor)?.map(ChatRoomId::from_uuid))
}

pub(super) fn user_cursor(cursor: &str) -> Result<Option<UserId>, Refusal> {
    Ok(decode_cursor(cursor)?.map(UserId::from_uuid))
}

pub(super) fn room(room: Room) -> proto::ChatRoom {
    proto::ChatRoom {
        id: room.id.to_string(),
        name: room.name,
        visibility: room.visibility.as_str().to_owned(),
        order_id: room.order_id.map(|id| id.to_string()),
        created_at_unix_ms: room.created_at.unix_ms(),
    }
}

pub(super) fn rooms(page: Page<Room, ChatRoomId>) -> proto::ListRoomsResponse {
    proto::ListRoomsResponse {
        items: page.items.into_iter().map(room).collect(),
        next_cursor: page.next.map(|id| encode_cursor(id.as_uuid())).unwrap_or_default(),
    }
}

pub(super) fn member(member: Member) -> proto::ChatMember {
    proto::ChatMember {
        user_id: member.user_id.to_string(),
        joined_at_unix_ms: member.joined_at.unix_ms(),
        read_seq: member.read_seq,
        read_message_id: member.read_message_id.map(|id| id.to_string()),
    }
}

pub(super) fn members(page: Page<Member, UserId>) -> proto::ListMembersResponse {
    proto::ListMembersResponse {
        items: page.items.into_iter().map(member).collect(),
        next_cursor: page.next.map(|id| encode_cursor(id.as_uuid())).unwrap_or_default(),
    }
}

pub(super) fn message(message: ChatMessage) -> proto::ChatMessage {
    proto::ChatMessage {
        id: message.id.to_string(),
        room_id: message.room_id.to_string(),
        seq: message.seq,
        user_id: message.user_id.to_string(),
        content: message.content,
        client_id: message.client_id,
        created_at_unix_ms: message.created_at.unix_ms(),
    }
}

pub(super) fn history(page: HistoryPage) -> proto::ListMessagesResponse {
    proto::ListMessagesResponse {
        items: page.history.messages.into_iter().map(message).collect(),
        has_more: page.has_more,
        last_seq: page.history.last_seq,
    }
}

pub(super) fn position(room_id: ChatRoomId, position: ReadPosition) -> proto::ReadPosition {
    proto::ReadPosition {
        room_id: room_id.to_string(),
        read_seq: position.read_seq,
        read_message_id: position.read_message_id.map(|id| id.to_string()),
        unread: position.unread,
        moved: position.moved,
    }
}

pub(super) fn unread(page: Page<RoomUnread, ChatRoomId>) -> proto::ListUnreadCountsResponse {
    let items = page.items.into_iter().map(|room| proto::UnreadCount {
        room_id: room.room_id.to_string(),
        count: room.count,
        read_seq: room.read_seq,
        last_seq: room.last_seq,
    });
    proto::ListUnreadCountsResponse {
        items: items.collect(),
        next_cursor: page.next.map(|id| encode_cursor(id.as_uuid())).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back_as_they_went(id in any::<u128>()) {
            let id = Uuid::from_u128(id);
            prop_assert_eq!(decode_cursor(&encode_cursor(id)).unwrap(), Some(id));
        }

        #[test]
        fn no_cursor_panics(text in any::<String>()) {
            let _ = decode_cursor(&text);
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let field = |refusal: Refusal| refusal.fields[0].field.clone();
        assert_eq!(field(id::<ChatRoomId>("x", "id").unwrap_err()), "id");
        assert_eq!(field(room_name(" ").unwrap_err()), "/name");
        assert_eq!(field(visibility("Public").unwrap_err()), "/visibility");
        assert_eq!(field(content(String::new()).unwrap_err()), "/content");
        assert_eq!(field(client_id(Some(String::new())).unwrap_err()), "/client_id");
        assert_eq!(field(range(Some(1), Some(1)).unwrap_err()), "after");
        assert_eq!(field(up_to(None).unwrap_err()), "/seq");
        assert_eq!(field(up_to(Some(UpTo::MessageId("x".to_owned()))).unwrap_err()), "/message_id");
        assert_eq!(field(room_cursor("AAAA").unwrap_err()), "cursor");
    }
}
