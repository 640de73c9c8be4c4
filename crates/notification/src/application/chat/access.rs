//! Who is let in, and what somebody is told who is not.

use contracts::ids::ChatRoomId;

use super::ChatError;
use super::ports::ChatRepository;
use crate::domain::chat::room::Visitor;

/// Why the visitor, who is no member, may not: who may join is told so; to others the room does not exist.
pub(super) async fn refuse(chat: &dyn ChatRepository, room_id: ChatRoomId, visitor: Visitor) -> ChatError {
    match chat.find_room(room_id, visitor.user_id).await {
        Ok(Some((room, _))) if room.is_open_to(visitor) => ChatError::NotAMember,
        Ok(_) => ChatError::RoomNotFound,
        Err(error) => ChatError::Store(error),
    }
}

/// Lets in members who still have a place in the room. Rooms never change and roles come with the call, so that only the
/// membership has to be looked at again by the change itself. Staff has a place wherever they are members.
///
/// # Errors
/// As [`refuse`].
pub(super) async fn expect_place(
    chat: &dyn ChatRepository,
    room_id: ChatRoomId,
    visitor: Visitor,
) -> Result<(), ChatError> {
    if visitor.is_staff {
        return Ok(());
    }
    match chat.find_room(room_id, visitor.user_id).await.map_err(ChatError::Store)? {
        Some((room, true)) if room.has_place_for(visitor) => Ok(()),
        Some((room, false)) if room.is_open_to(visitor) => Err(ChatError::NotAMember),
        _ => Err(ChatError::RoomNotFound),
    }
}
