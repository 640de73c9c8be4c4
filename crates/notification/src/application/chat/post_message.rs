//! A member says something.

use std::sync::Arc;

use contracts::ids::{ChatMessageId, ChatRoomId};
use contracts::{Clock, IdGenerator};

use super::ports::{ChatRepository, MessageDraft, Occasion, Posted};
use super::{ChatError, access};
use crate::application::Cause;
use crate::domain::chat::message::{ChatMessage, ClientId, Content};
use crate::domain::chat::room::Visitor;

/// The use case.
pub struct PostMessage {
    chat: Arc<dyn ChatRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
}

/// A message as it is stored, and whether it had been before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedMessage {
    /// The message.
    pub message: ChatMessage,
    /// Its sender had posted it before.
    pub repeated: bool,
}

impl PostMessage {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self { chat, clock, ids }
    }

    /// Stores the message; idempotent by `client_id` for each room and sender.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`]; [`ChatError::NotAMember`]; [`ChatError::Store`].
    pub async fn run(
        &self,
        visitor: Visitor,
        room_id: ChatRoomId,
        content: Content,
        client_id: Option<ClientId>,
    ) -> Result<PostedMessage, ChatError> {
        access::expect_place(self.chat.as_ref(), room_id, visitor).await?;
        let id = ChatMessageId::from_uuid(self.ids.new_uuid());
        let draft = MessageDraft { id, room_id, user_id: visitor.user_id, content, client_id };
        let on = Occasion { now: self.clock.now(), cause: Cause::current() };
        match self.chat.post_message(draft, on).await.map_err(ChatError::Store)? {
            Posted::Stored(message) => Ok(PostedMessage { message, repeated: false }),
            Posted::Repeated(message) => Ok(PostedMessage { message, repeated: true }),
            Posted::NotAMember => Err(access::refuse(self.chat.as_ref(), room_id, visitor).await),
        }
    }
}
