//! What somebody is told who is no member.

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
