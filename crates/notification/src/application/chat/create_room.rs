//! A user makes a room.

use std::sync::Arc;

use contracts::ids::{ChatRoomId, UserId};
use contracts::{Clock, IdGenerator};

use super::ChatError;
use super::ports::{ChatRepository, Occasion};
use crate::application::Cause;
use crate::domain::chat::room::{Room, RoomName, Visibility};

/// The use case.
pub struct CreateRoom {
    chat: Arc<dyn ChatRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
}

impl CreateRoom {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self { chat, clock, ids }
    }

    /// Makes a room; the user is its first member. Names need not be unique: rooms are told apart by id.
    ///
    /// # Errors
    /// [`ChatError::Store`].
    pub async fn run(&self, user_id: UserId, name: RoomName, visibility: Visibility) -> Result<Room, ChatError> {
        let now = self.clock.now();
        let room = Room::named(ChatRoomId::from_uuid(self.ids.new_uuid()), name, visibility, user_id, now);
        let on = Occasion { now, cause: Cause::current() };
        self.chat.create_room(room.clone(), on).await.map_err(ChatError::Store)?;
        tracing::info!(chat.room_id = %room.id, visibility = visibility.as_str(), "chat room made");
        Ok(room)
    }
}
