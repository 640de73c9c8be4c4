//! How much a user has not read, room by room.

use std::sync::Arc;

use contracts::ids::{ChatRoomId, UserId};

use super::ports::{ChatRepository, RoomUnread};
use super::{ChatError, Page};

/// The query.
pub struct CountUnread {
    chat: Arc<dyn ChatRepository>,
}

impl CountUnread {
    /// The query with its port.
    pub fn new(chat: Arc<dyn ChatRepository>) -> Self {
        Self { chat }
    }

    /// The user's rooms, newest first after `before`, and what is unread in each.
    ///
    /// # Errors
    /// [`ChatError::Store`].
    pub async fn run(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Page<RoomUnread, ChatRoomId>, ChatError> {
        let found = self.chat.list_unread(user_id, before, limit + 1).await.map_err(ChatError::Store)?;
        Ok(Page::of(found, limit, |room| room.room_id))
    }
}
