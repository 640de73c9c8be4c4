//! Reading orders.

use contracts::event_data::OrderData;
use contracts::ids::OrderId;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::ports::OrderFilter;
use crate::domain::{Order, StockClaim};

/// A page of orders.
#[derive(Clone, Debug)]
pub struct OrderPage {
    /// Newest first.
    pub orders: Vec<Order>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<OrderId>,
}

/// What some orders want of the stock.
#[derive(Clone, Debug)]
pub struct StockClaims {
    /// Each with the position of its last event, in the order of those positions.
    pub claims: Vec<(u64, Order, StockClaim)>,
    /// Up to this position of the log nothing was owed to inventory when this was read.
    pub settled: u64,
}

impl Ordering {
    /// What at most `limit` orders want whose last event is after a position of the log.
    ///
    /// # Errors
    /// [`OrderError::Store`].
    pub async fn stock_claims(&self, after: u64, limit: usize) -> Result<StockClaims, OrderError> {
        let changed = self.repository.changed_since(after, limit).await?;
        let claims = changed.orders.into_iter().map(|(position, order, saga)| {
            let claim = StockClaim::of(&order, &saga);
            (position, order, claim)
        });
        Ok(StockClaims { claims: claims.collect(), settled: changed.settled })
    }

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
