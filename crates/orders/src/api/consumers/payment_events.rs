//! `payment.captured` and `payment.declined`: a checkout may have waited for them.

use async_trait::async_trait;
use contracts::Event;
use contracts::event_data::{PaymentEvent, event_type};
use messaging::{ConsumeError, EventHandler, Subscription};
use observability::logs::error_chain;

use crate::application::Ordering;

/// The queue of this consumer group.
pub const QUEUE: &str = "orders.events";

/// The queue and what goes into it.
pub fn subscription() -> Subscription {
    Subscription::new(QUEUE, &[event_type::PAYMENT_CAPTURED, event_type::PAYMENT_DECLINED])
}

/// Hands payment events to the use case. It is idempotent by itself: what waits for nothing is left alone.
pub struct PaymentEvents(pub Ordering);

#[async_trait]
impl EventHandler for PaymentEvents {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        let payment: PaymentEvent = event.data().map_err(|error| ConsumeError::Poison(error.to_string()))?;
        let captured = event.event_type == event_type::PAYMENT_CAPTURED;
        self.0
            .payment_settled(payment.order_id, captured)
            .await
            .map_err(|error| ConsumeError::Transient(error_chain(&error)))
    }
}
