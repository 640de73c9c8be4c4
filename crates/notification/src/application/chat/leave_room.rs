//! A user leaves a room.

use std::sync::Arc;

use contracts::Clock;
use contracts::ids::ChatRoomId;

use super::ports::{ChatRepository, Occasion};
use super::{ChatError, access};
use crate::application::Cause;
use crate::domain::chat::room::Visitor;

/// The use case.
pub struct LeaveRoom {
    chat: Arc<dyn ChatRepository>,
    clock: Arc<dyn Clock>,
}

impl LeaveRoom {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { chat, clock }
    }

    /// The visitor is a member no more. A room that they may join and are not in stays as it is.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::Store`].
    pub async fn run(&self, visitor: Visitor, room_id: ChatRoomId) -> Result<(), ChatError> {
        let on = Occasion { now: self.clock.now(), cause: Cause::current() };
        if self.chat.remove_member(room_id, visitor.user_id, on).await.map_err(ChatError::Store)? {
            return Ok(());
        }
        match access::refuse(self.chat.as_ref(), room_id, visitor).await {
            ChatError::NotAMember => Ok(()),
            other => Err(other),
        }
    }
}
