//! A payment whose outcome was unknown is settled.

use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId};

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::{Change, RepositoryError};
use crate::application::saga::{self, LEASE};
use crate::domain::SagaState;

impl Ordering {
    /// Takes up the saga that waits for this payment, or gives the money back if it was captured for an order that had
    /// ended. For orders that wait for nothing there is nothing to do: safe to repeat, in any order.
    ///
    /// # Errors
    /// [`OrderError::Store`]; try again.
    pub async fn payment_settled(&self, id: OrderId, captured: bool) -> Result<(), OrderError> {
        let Some((order, mut saga)) = self.repository.find_with_saga(id).await? else {
            return Ok(());
        };
        let now = self.clock.now();
        let late_capture = captured
            && matches!(order.status(), OrderStatus::Cancelled | OrderStatus::Rejected)
            && saga.state() == SagaState::Done
            && saga.parts().refund_id.is_none();
        let awaited = saga.state() == SagaState::Charging && saga.parts().payment_unknown;
        if late_capture {
            let refund_id = RefundId::from_uuid(self.ids.new_uuid());
            if saga.start_refund(refund_id, "captured after the order had ended".to_owned(), false, false).is_err() {
                return Ok(());
            }
        } else if !awaited {
            return Ok(());
        }
        saga.take_over(self.ids.new_uuid().to_string(), now.plus(LEASE));
        saga.next_version();
        match self.repository.save(Change { order: None, saga: saga.clone() }).await {
            Ok(()) => {
                drop(saga::spawn(self, order, saga));
                Ok(())
            }
            // Someone else has just taken it up.
            Err(RepositoryError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
