//! The consumer of the queue `notification.events`.

mod orders;
mod users;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Event;
use contracts::event_data::event_type;
use messaging::{ConsumeError, EventHandler, Subscription};

use crate::application::ports::RepositoryError;
use crate::application::record_order_event::RecordOrderEvent;
use crate::application::record_user::RecordUser;

/// The queue.
pub const QUEUE: &str = "notification.events";

/// The queue and what goes into it.
pub fn subscription() -> Subscription {
    Subscription::new(QUEUE, &["order.*", event_type::USER_REGISTERED, event_type::USER_UPDATED])
}

/// Hands each event to its use case.
pub struct Events {
    /// For `order.*`.
    pub orders: Arc<RecordOrderEvent>,
    /// For `user.*`.
    pub users: Arc<RecordUser>,
}

#[async_trait]
impl EventHandler for Events {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        match event.event_type.as_str() {
            event_type::USER_REGISTERED | event_type::USER_UPDATED => users::handle(&self.users, event).await,
            name if name.starts_with("order.") => orders::handle(&self.orders, event).await,
            // Left over from an older binding of the queue.
            _ => Ok(()),
        }
    }
}

/// Whether coming again can help.
fn consume_error(error: &RepositoryError, text: String) -> ConsumeError {
    match error {
        RepositoryError::Unavailable(_) | RepositoryError::Conflict => ConsumeError::Transient(text),
        RepositoryError::Corrupt { .. } => ConsumeError::Poison(text),
    }
}
