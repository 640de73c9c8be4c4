//! The customer of an order, or staff, wants to talk about it.

use std::sync::Arc;

use contracts::ids::{ChatRoomId, OrderId};
use contracts::{Clock, IdGenerator};

use super::ChatError;
use super::ports::{ChatRepository, Occasion};
use crate::application::Cause;
use crate::domain::chat::room::{Room, Visitor};

/// The use case.
pub struct OpenSupportRoom {
    chat: Arc<dyn ChatRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
}

impl OpenSupportRoom {
    /// The use case with its ports.
    pub fn new(chat: Arc<dyn ChatRepository>, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self { chat, clock, ids }
    }

    /// The one room of the order, made if need be; its customer and the visitor are members. Idempotent.
    ///
    /// Whose order it is was told by the order's own events, which this service uses for the inbox anyway: no claim of the
    /// caller is believed, and orders need not be asked.
    ///
    /// # Errors
    /// [`ChatError::OrderNotFound`], also for another customer's order and before the first event of it was used;
    /// [`ChatError::Store`].
    pub async fn run(&self, visitor: Visitor, order_id: OrderId) -> Result<Room, ChatError> {
        let owner = self.chat.find_order_owner(order_id).await.map_err(ChatError::Store)?;
        let customer = owner.ok_or(ChatError::OrderNotFound)?;
        let now = self.clock.now();
        let room = Room::support(ChatRoomId::from_uuid(self.ids.new_uuid()), order_id, customer, now);
        if !room.is_open_to(visitor) {
            return Err(ChatError::OrderNotFound);
        }
        let on = Occasion { now, cause: Cause::current() };
        self.chat.open_support_room(room, visitor.user_id, on).await.map_err(ChatError::Store)
    }
}
