//! Which rooms a user sees.

use std::sync::Arc;

use contracts::ids::ChatRoomId;

use super::ports::ChatRepository;
use super::{ChatError, Page};
use crate::domain::chat::room::{Room, Visitor};

/// The queries.
pub struct ListRooms {
    chat: Arc<dyn ChatRepository>,
}

impl ListRooms {
    /// The queries with their port.
    pub fn new(chat: Arc<dyn ChatRepository>) -> Self {
        Self { chat }
    }

    /// Rooms that the visitor is a member of and, unless `joined_only`, all public ones; newest first, after `before`. A page
    /// may hold fewer than `limit` although there are more.
    ///
    /// # Errors
    /// [`ChatError::Store`].
    pub async fn list(
        &self,
        visitor: Visitor,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Page<Room, ChatRoomId>, ChatError> {
        let found = self.chat.list_rooms(visitor.user_id, joined_only, before, limit + 1).await;
        let mut page = Page::of(found.map_err(ChatError::Store)?, limit, |room| room.id);
        // Afterwards: where the next page begins does not depend on it.
        page.items.retain(|room| room.has_place_for(visitor));
        Ok(page)
    }

    /// One room that the visitor is a member of or may join.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::Store`].
    pub async fn get(&self, visitor: Visitor, room_id: ChatRoomId) -> Result<Room, ChatError> {
        match self.chat.find_room(room_id, visitor.user_id).await.map_err(ChatError::Store)? {
            Some((room, is_member)) if room.is_open_to(visitor) || (is_member && room.has_place_for(visitor)) => {
                Ok(room)
            }
            _ => Err(ChatError::RoomNotFound),
        }
    }
}
