//! A user joins a room that is open to them.

use std::sync::Arc;

use contracts::Clock;
use contracts::ids::ChatRoomId;

use super::ChatError;
use super::ports::{ChatRepository, Occasion};
use crate::application::Cause;
use crate::domain::chat::member::Member;
use crate::domain::chat::room::Visitor;

/// The use case.
pub struct JoinRoom {
    chat: Arc<dyn ChatRepository>,
    clock: Arc<dyn Clock>,
}

impl JoinRoom {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { chat, clock }
    }

    /// The visitor is a member afterwards; who was one stays as they are.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`], also for a room that is not open to them; [`ChatError::Store`].
    pub async fn run(&self, visitor: Visitor, room_id: ChatRoomId) -> Result<Member, ChatError> {
        let found = self.chat.find_room(room_id, visitor.user_id).await.map_err(ChatError::Store)?;
        let (room, is_member) = found.ok_or(ChatError::RoomNotFound)?;
        // A member of a private room asks again: as a member, who may have left or been there all the time.
        let by = (!room.is_open_to(visitor)).then_some(visitor.user_id);
        if by.is_some() && !(is_member && room.has_place_for(visitor)) {
            return Err(ChatError::RoomNotFound);
        }
        let on = Occasion { now: self.clock.now(), cause: Cause::current() };
        let added = self.chat.add_member(room_id, visitor.user_id, by, on).await.map_err(ChatError::Store)?;
        added.ok_or(ChatError::RoomNotFound)
    }
}
