//! Giving a customer's money back.

use std::time::Duration;

use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId};
use service_kit::grpc::deadline;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::place_order::Outcome;
use crate::application::ports::Change;
use crate::application::saga::{self, LEASE, Verdict};
use crate::domain::{IllegalTransition, SagaState};

/// Kept of the caller's time for the way back.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

impl Ordering {
    /// Refunds an order in full; it becomes `refunded` once the money is on its way. Goods that have not shipped return to
    /// the shelf. Asking again while it is under way, or after, is no error.
    ///
    /// # Errors
    /// [`OrderError::NotFound`]; [`OrderError::Illegal`] unless confirmed, shipped or delivered.
    pub async fn refund_order(&self, id: OrderId, reason: String) -> Result<Outcome, OrderError> {
        let (order, mut saga) = self.repository.find_with_saga(id).await?.ok_or(OrderError::NotFound)?;
        let return_stock = match order.status() {
            OrderStatus::Refunded => return Ok(Outcome { order, decided: true }),
            OrderStatus::Confirmed => true,
            OrderStatus::Shipped | OrderStatus::Delivered => false,
            from => return Err(IllegalTransition { from, to: OrderStatus::Refunded }.into()),
        };
        if saga.state() == SagaState::Refunding {
            return Ok(Outcome { order, decided: false });
        }
        let refund_id = RefundId::from_uuid(self.ids.new_uuid());
        saga.start_refund(refund_id, reason, true, return_stock)
            .map_err(|_| IllegalTransition { from: order.status(), to: OrderStatus::Refunded })?;
        saga.take_over(self.ids.new_uuid().to_string(), self.clock.now().plus(LEASE));
        saga.next_version();
        self.repository.save(Change { order: None, saga: saga.clone() }).await?;
        let verdict = saga::spawn(self, order.clone(), saga);
        let patience = deadline::remaining().saturating_sub(ANSWER_MARGIN);
        match tokio::time::timeout(patience, verdict).await {
            Ok(Ok(Verdict::Decided(order, _))) => Ok(Outcome { order, decided: true }),
            Ok(Ok(Verdict::Open(order))) => Ok(Outcome { order, decided: false }),
            Ok(Err(_)) | Err(_) => Ok(Outcome { order, decided: false }),
        }
    }
}
