//! Cancelling an order before it ships.

use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId};

use crate::application::error::OrderError;
use crate::application::ordering::{Ordering, against_rivals};
use crate::application::place_order::Outcome;
use crate::application::ports::Change;
use crate::application::saga::{self, LEASE};
use crate::domain::{IllegalTransition, SagaState};
use crate::metrics;

impl Ordering {
    /// Cancels an order. A confirmed one is cancelled at once, its money and goods follow; one that is still being decided
    /// is cancelled at the next step of its saga, and the outcome says `decided: false`. Cancelling twice is no error.
    ///
    /// # Errors
    /// [`OrderError::NotFound`]; [`OrderError::Illegal`] once it shipped or ended in another way.
    pub async fn cancel_order(&self, id: OrderId, reason: String) -> Result<Outcome, OrderError> {
        against_rivals(|| self.try_cancel(id, &reason)).await
    }

    async fn try_cancel(&self, id: OrderId, reason: &str) -> Result<Outcome, OrderError> {
        let (mut order, mut saga) = self.repository.find_with_saga(id).await?.ok_or(OrderError::NotFound)?;
        let now = self.clock.now();
        match order.status() {
            OrderStatus::Cancelled => Ok(Outcome { order, decided: true }),
            OrderStatus::Pending => {
                saga.request_cancel(reason.to_owned());
                saga.next_version();
                self.repository.save(Change { order: None, saga }).await?;
                Ok(Outcome { order, decided: false })
            }
            OrderStatus::Confirmed if saga.state() == SagaState::Refunding => {
                Err(OrderError::BeingRefunded { wanted: OrderStatus::Cancelled })
            }
            OrderStatus::Confirmed => {
                let event = order.cancel(reason.to_owned(), now)?;
                let refund_id = RefundId::from_uuid(self.ids.new_uuid());
                saga.start_refund(refund_id, reason.to_owned(), false, true)
                    .map_err(|_| IllegalTransition { from: OrderStatus::Confirmed, to: OrderStatus::Cancelled })?;
                saga.take_over(self.ids.new_uuid().to_string(), now.plus(LEASE));
                saga.next_version();
                self.repository.save(Change { order: Some((order.clone(), event)), saga: saga.clone() }).await?;
                metrics::count_order(OrderStatus::Cancelled);
                // Nobody waits for the money and the goods to be back.
                drop(saga::spawn(self, order.clone(), saga));
                Ok(Outcome { order, decided: true })
            }
            from => Err(IllegalTransition { from, to: OrderStatus::Cancelled }.into()),
        }
    }
}
