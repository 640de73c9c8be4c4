//! Reading orders.

use contracts::event_data::OrderData;
use contracts::ids::OrderId;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::OrderFilter;
use crate::domain::Order;

/// A page of orders.
#[derive(Clone, Debug)]
pub struct OrderPage {
    /// Newest first.
    pub orders: Vec<Order>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<OrderId>,
}

impl Ordering {
    /// An order.
    ///
    /// # Errors
    /// [`OrderError::NotFound`].
    pub async fn get_order(&self, id: OrderId) -> Result<Order, OrderError> {
        self.repository.find(id).await?.ok_or(OrderError::NotFound)
    }

    /// A page of at most `limit` orders, newest first.
    ///
    /// # Errors
    /// [`OrderError::Store`].
    pub async fn list_orders(&self, filter: OrderFilter, limit: usize) -> Result<OrderPage, OrderError> {
        // One more than asked for tells whether there is a next page.
        let mut orders = self.repository.list(filter, limit + 1).await?;
        let more = orders.len() > limit;
        orders.truncate(limit);
        let next = if more { orders.last().map(Order::id) } else { None };
        Ok(OrderPage { orders, next })
    }

    /// The order after each of its events, oldest first.
    ///
    /// # Errors
    /// [`OrderError::NotFound`].
    pub async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, OrderError> {
        let entries = self.repository.timeline(id).await?;
        if entries.is_empty() { Err(OrderError::NotFound) } else { Ok(entries) }
    }
}
