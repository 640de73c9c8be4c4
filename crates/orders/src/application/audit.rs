//! What orders tell an audit across stores: facts as they are stored, judged by nobody here.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::{OrderId, UserId};
use contracts::{Money, Timestamp};

use super::ports::RepositoryError;

/// An order as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFacts {
    /// Its id.
    pub order_id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// `pending`, `confirmed`, …
    pub status: String,
    /// Its version.
    pub version: u64,
    /// What is to be paid.
    pub total: Money,
    /// What was ordered: sku and units, in the order's own order.
    pub lines: Vec<(String, u32)>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its saga, which every order has.
    pub saga: Option<SagaFacts>,
    /// What the event log says of it, oldest first.
    pub events: Vec<LoggedEvent>,
}

/// A saga as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaFacts {
    /// `priced`, …, `done`.
    pub state: String,
    /// Failed attempts at the present step.
    pub attempts: u64,
    /// When anyone may take it up; `None` when done.
    pub due_at: Option<Timestamp>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its type: `order.confirmed`.
    pub event_type: String,
    /// The order's version after it.
    pub version: u64,
}

/// Reads the order store for an audit: it writes nothing, and runs no migration.
#[async_trait]
pub trait OrderAudit: Send + Sync {
    /// Orders of the span by id, `limit` at most, each page of one moment.
    ///
    /// # Errors
    /// [`RepositoryError::Corrupt`] when an order's body is none.
    async fn list_orders(&self, span: Span, limit: usize) -> Result<Page<OrderFacts>, RepositoryError>;

    /// The idempotency keys that still hold, of orders of the span. Looks through all keys.
    async fn list_keys(&self, span: Span) -> Result<Vec<(OrderId, String)>, RepositoryError>;

    /// Sagas that are not done.
    async fn count_open_sagas(&self) -> Result<u64, RepositoryError>;

    /// Events that wait to be published.
    async fn backlog(&self) -> Result<Backlog, RepositoryError>;
}
