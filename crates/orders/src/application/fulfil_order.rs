//! Shipping and delivering.

use contracts::event_data::OrderStatus;
use contracts::ids::OrderId;

use crate::application::error::OrderError;
use crate::application::ordering::{Ordering, against_rivals};
use crate::application::ports::Change;
use crate::domain::{IllegalTransition, Order, OrderEvent, SagaState};
use crate::metrics;

impl Ordering {
    /// Marks a confirmed order as on its way.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], [`OrderError::Illegal`], [`OrderError::BeingRefunded`].
    pub async fn ship_order(&self, id: OrderId) -> Result<Order, OrderError> {
        let now = self.clock.now();
        against_rivals(|| self.try_fulfil(id, OrderStatus::Shipped, |order| order.ship(now))).await
    }

    /// Marks a shipped order as arrived.
    ///
    /// # Errors
    /// As [`Ordering::ship_order`].
    pub async fn deliver_order(&self, id: OrderId) -> Result<Order, OrderError> {
        let now = self.clock.now();
        against_rivals(|| self.try_fulfil(id, OrderStatus::Delivered, |order| order.deliver(now))).await
    }

    async fn try_fulfil(
        &self,
        id: OrderId,
        to: OrderStatus,
        verb: impl Fn(&mut Order) -> Result<OrderEvent, IllegalTransition> + Send,
    ) -> Result<Order, OrderError> {
        let (mut order, mut saga) = self.repository.find_with_saga(id).await?.ok_or(OrderError::NotFound)?;
        if saga.state() == SagaState::Refunding {
            return Err(OrderError::BeingRefunded { wanted: to });
        }
        let event = verb(&mut order)?;
        saga.next_version();
        self.repository.save(Change { order: Some((order.clone(), event)), saga }).await?;
        metrics::count_order(to);
        Ok(order)
    }
}
