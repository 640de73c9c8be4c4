//! Who is in a room, and how far they have read.

use std::sync::Arc;

use contracts::ids::{ChatRoomId, UserId};

use super::ports::ChatRepository;
use super::{ChatError, Page, access};
use crate::domain::chat::member::Member;
use crate::domain::chat::room::Visitor;

/// The query.
pub struct ListMembers {
    chat: Arc<dyn ChatRepository>,
}

impl ListMembers {
    /// The query with its port.
    pub fn new(chat: Arc<dyn ChatRepository>) -> Self {
        Self { chat }
    }

    /// Members by user id, after `after`; for members.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::NotAMember`]; [`ChatError::Store`].
    pub async fn run(
        &self,
        visitor: Visitor,
        room_id: ChatRoomId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Page<Member, UserId>, ChatError> {
        access::expect_place(self.chat.as_ref(), room_id, visitor).await?;
        let found = self.chat.list_members(room_id, visitor.user_id, after, limit + 1).await;
        match found.map_err(ChatError::Store)? {
            Some(members) => Ok(Page::of(members, limit, |member| member.user_id)),
            None => Err(access::refuse(self.chat.as_ref(), room_id, visitor).await),
        }
    }
}
