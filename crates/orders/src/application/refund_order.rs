//! Giving a customer's money back.

use std::time::Duration;

use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId};
use service_kit::grpc::deadline;

use crate::application::error::OrderError;
use crate::application::ordering::{Ordering, against_rivals};
use crate::application::place_order::Outcome;
use crate::application::ports::Change;
use crate::application::saga::{self, LEASE, Verdict};
use crate::domain::{IllegalTransition, Order, Saga, SagaState};

/// Kept of the caller's time for the way back.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How a refund begins.
enum Start {
    /// By this call, whose saga now has to be run.
    Mine(Order, Saga),
    /// By another call, earlier or at the same time; this is how far it has come.
    Known(Outcome),
}

impl Ordering {
    /// Refunds an order in full; it becomes `refunded` once the money is on its way. Goods that have not shipped return to
    /// the shelf. Asking again while it is under way, or after, is no error.
    ///
    /// # Errors
    /// [`OrderError::NotFound`]; [`OrderError::Illegal`] unless confirmed, shipped or delivered.
    pub async fn refund_order(&self, id: OrderId, reason: String) -> Result<Outcome, OrderError> {
        let (order, saga) = match against_rivals(|| self.try_start_refund(id, &reason)).await? {
            Start::Mine(order, saga) => (order, saga),
            Start::Known(outcome) => return Ok(outcome),
        };
        let verdict = saga::spawn(self, order.clone(), saga);
        let patience = deadline::remaining().saturating_sub(ANSWER_MARGIN);
        match tokio::time::timeout(patience, verdict).await {
            Ok(Ok(Verdict::Decided(order, _))) => Ok(Outcome { order, decided: true }),
            Ok(Ok(Verdict::Open(order))) => Ok(Outcome { order, decided: false }),
            Ok(Err(_)) | Err(_) => Ok(Outcome { order, decided: false }),
        }
    }

    async fn try_start_refund(&self, id: OrderId, reason: &str) -> Result<Start, OrderError> {
        let (order, mut saga) = self.repository.find_with_saga(id).await?.ok_or(OrderError::NotFound)?;
        let return_stock = match order.status() {
            OrderStatus::Refunded => return Ok(Start::Known(Outcome { order, decided: true })),
            OrderStatus::Confirmed => true,
            OrderStatus::Shipped | OrderStatus::Delivered => false,
            from => return Err(IllegalTransition { from, to: OrderStatus::Refunded }.into()),
        };
        if saga.state() == SagaState::Refunding {
            return Ok(Start::Known(Outcome { order, decided: false }));
        }
        let refund_id = RefundId::from_uuid(self.ids.new_uuid());
        saga.start_refund(refund_id, reason.to_owned(), true, return_stock)
            .map_err(|_| IllegalTransition { from: order.status(), to: OrderStatus::Refunded })?;
        saga.take_over(self.ids.new_uuid().to_string(), self.clock.now().plus(LEASE));
        saga.next_version();
        self.repository.save(Change { order: None, saga: saga.clone() }).await?;
        Ok(Start::Mine(order, saga))
    }
}
