//! The consumer of the queue `notification.events`.

mod orders;
mod users;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::event_data::event_type;
use messaging::{ConsumeError, EventHandler, RetryPolicy, Subscription};

use crate::application::forget_contact::ForgetContact;
use crate::application::ports::RepositoryError;
use crate::application::record_order_event::RecordOrderEvent;

/// The queue.
pub const QUEUE: &str = "notification.events";

/// Waits before an event is tried again. More of ten seconds than the usual ladder has: MongoDB keeps the transaction of a
/// process that was killed for up to a minute (`transactionLifetimeLimitSeconds`), and with it the inbox that it was about to
/// change. The next rung is a minute, and that is long to wait for word of an order.
const RETRY_AFTER_SECS: [u64; 7] = [1, 10, 10, 10, 10, 60, 600];

/// The queue and what goes into it.
pub fn subscription() -> Subscription {
    let wanted = &["order.*", event_type::USER_UPDATED];
    let delays = RETRY_AFTER_SECS.into_iter().map(Duration::from_secs).collect();
    Subscription { retry: RetryPolicy { delays }, ..Subscription::new(QUEUE, wanted) }
}

/// Hands each event to its use case.
pub struct Events {
    /// For `order.*`.
    pub orders: Arc<RecordOrderEvent>,
    /// For `user.updated`.
    pub users: Arc<ForgetContact>,
}

#[async_trait]
impl EventHandler for Events {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        match event.event_type.as_str() {
            event_type::USER_UPDATED => users::handle(&self.users, event).await,
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
