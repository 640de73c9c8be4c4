//! Shipping and delivering.

use contracts::ids::OrderId;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::Change;
use crate::application::saga;
use crate::domain::{IllegalTransition, Order, OrderEvent, SagaState};

impl Ordering {
    /// Marks a confirmed order as on its way.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], [`OrderError::Illegal`], [`OrderError::BeingRefunded`].
    pub async fn ship_order(&self, id: OrderId) -> Result<Order, OrderError> {
        let now = self.clock.now();
        self.fulfil(id, |order| order.ship(now)).await
    }

    /// Marks a shipped order as arrived.
    ///
    /// # Errors
    /// As [`Ordering::ship_order`].
    pub async fn deliver_order(&self, id: OrderId) -> Result<Order, OrderError> {
        let now = self.clock.now();
        self.fulfil(id, |order| order.deliver(now)).await
    }

    async fn fulfil(
        &self,
        id: OrderId,
        verb: impl FnOnce(&mut Order) -> Result<OrderEvent, IllegalTransition> + Send,
    ) -> Result<Order, OrderError> {
        let (mut order, mut saga) = self.repository.find_with_saga(id).await?.ok_or(OrderError::NotFound)?;
        if saga.state() == SagaState::Refunding {
            return Err(OrderError::BeingRefunded);
        }
        let event = verb(&mut order)?;
        let status = event.data.status;
        saga.next_version();
        self.repository.save(Change { order: Some((order.clone(), event)), saga }).await?;
        saga::count_order(status);
        Ok(order)
    }
}
