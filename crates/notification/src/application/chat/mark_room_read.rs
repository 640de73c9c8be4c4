//! A member has read a room up to a message.

use std::sync::Arc;

use contracts::ids::ChatRoomId;

use super::ports::{ChatRepository, Marked, ReadPosition, ReadUpTo};
use super::{ChatError, access};
use crate::domain::chat::room::Visitor;

/// The use case.
pub struct MarkRoomRead {
    chat: Arc<dyn ChatRepository>,
}

impl MarkRoomRead {
    /// The use case with its port.
    pub fn new(chat: Arc<dyn ChatRepository>) -> Self {
        Self { chat }
    }

    /// Moves the visitor's read position there, never back; idempotent.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::NotAMember`]; [`ChatError::MessageNotFound`]; [`ChatError::Store`].
    pub async fn run(&self, visitor: Visitor, room_id: ChatRoomId, up_to: ReadUpTo) -> Result<ReadPosition, ChatError> {
        access::expect_place(self.chat.as_ref(), room_id, visitor).await?;
        match self.chat.mark_room_read(room_id, visitor.user_id, up_to).await.map_err(ChatError::Store)? {
            Marked::At(position) => Ok(position),
            Marked::NoSuchMessage => Err(ChatError::MessageNotFound),
            Marked::NotAMember => Err(access::refuse(self.chat.as_ref(), room_id, visitor).await),
        }
    }
}
