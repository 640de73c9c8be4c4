//! A member brings somebody in.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use contracts::ids::{ChatRoomId, UserId};
use service_kit::grpc::deadline;

use super::ports::{ChatRepository, Occasion};
use super::{ChatError, access};
use crate::application::Cause;
use crate::application::ports::{DirectoryError, UserDirectory};
use crate::domain::chat::member::Member;
use crate::domain::chat::room::Visitor;

/// Longest wait for the users service.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(2);

/// The use case.
pub struct AddMember {
    chat: Arc<dyn ChatRepository>,
    directory: Arc<dyn UserDirectory>,
    clock: Arc<dyn Clock>,
}

impl AddMember {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, directory: Arc<dyn UserDirectory>, clock: Arc<dyn Clock>) -> Self {
        Self { chat, directory, clock }
    }

    /// The user is a member afterwards; who was one stays as they are.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`] or [`ChatError::NotAMember`] if the visitor is no member; [`ChatError::NotTheCustomer`] in
    /// support rooms; [`ChatError::UserNotFound`]; [`ChatError::Directory`]; [`ChatError::Store`].
    pub async fn run(&self, visitor: Visitor, room_id: ChatRoomId, user_id: UserId) -> Result<Member, ChatError> {
        let room = match self.chat.find_room(room_id, visitor.user_id).await.map_err(ChatError::Store)? {
            Some((room, true)) if room.has_place_for(visitor) => room,
            Some((room, false)) if room.is_open_to(visitor) => return Err(ChatError::NotAMember),
            _ => return Err(ChatError::RoomNotFound),
        };
        if !room.may_be_added(user_id) {
            return Err(ChatError::NotTheCustomer);
        }
        self.expect_user(user_id).await?;
        let on = Occasion { now: self.clock.now(), cause: Cause::current() };
        let added = self.chat.add_member(room_id, user_id, Some(visitor.user_id), on).await;
        match added.map_err(ChatError::Store)? {
            Some(member) => Ok(member),
            // The visitor left in the meantime.
            None => Err(access::refuse(self.chat.as_ref(), room_id, visitor).await),
        }
    }

    async fn expect_user(&self, user_id: UserId) -> Result<(), ChatError> {
        let wait = DIRECTORY_TIMEOUT.min(deadline::remaining());
        let question = deadline::within(wait, self.directory.find_user(user_id));
        // The deadline travels with the call; the time-out also holds while the connection is being made.
        let found =
            tokio::time::timeout(wait, question).await.unwrap_or_else(|elapsed| Err(DirectoryError(Box::new(elapsed))));
        found.map_err(ChatError::Directory)?.map(drop).ok_or(ChatError::UserNotFound)
    }
}
