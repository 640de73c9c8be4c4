//! What was said in a room.

use std::sync::Arc;

use contracts::ids::ChatRoomId;

use super::ports::{ChatRepository, History};
use super::{ChatError, access};
use crate::domain::chat::message::HistoryRange;
use crate::domain::chat::room::Visitor;

/// A page of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The messages, oldest first.
    pub history: History,
    /// There are more in the direction of the question.
    pub has_more: bool,
}

/// The query.
pub struct ReadHistory {
    chat: Arc<dyn ChatRepository>,
}

impl ReadHistory {
    /// The query with its port.
    pub fn new(chat: Arc<dyn ChatRepository>) -> Self {
        Self { chat }
    }

    /// The part of the history that `range` names, at most `limit` messages; for members, who see all of it.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::NotAMember`]; [`ChatError::Store`].
    pub async fn run(
        &self,
        visitor: Visitor,
        room_id: ChatRoomId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<HistoryPage, ChatError> {
        access::expect_place(self.chat.as_ref(), room_id, visitor).await?;
        // One more than wanted tells whether there are more: the one that is farthest from where the question begins.
        let found = self.chat.list_messages(room_id, visitor.user_id, range, limit + 1).await;
        let Some(mut history) = found.map_err(ChatError::Store)? else {
            return Err(access::refuse(self.chat.as_ref(), room_id, visitor).await);
        };
        let extra = history.messages.len().saturating_sub(limit as usize);
        match range {
            HistoryRange::Latest | HistoryRange::Before(_) => drop(history.messages.drain(..extra)),
            HistoryRange::After(_) => history.messages.truncate(limit as usize),
        }
        Ok(HistoryPage { history, has_more: extra > 0 })
    }
}
