//! What the use cases need from the outside. The docs of each port are the specification of its adapters.

use async_trait::async_trait;
use contracts::event_data::{OrderData, OrderStatus};
use contracts::ids::{OrderId, RefundId, UserId};
use contracts::{Money, Sku, Timestamp};
use observability::Cause;

use crate::domain::{MissingItem, Order, OrderEvent, PricedProduct, Saga};

/// What a store refuses or fails at.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The order or the saga changed since it was read, or the new order's id is taken.
    #[error("it changed in the meantime")]
    Conflict,
    /// The store is away or failing; safe to try again.
    #[error("the order store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row makes no sense.
    #[error("row {row} of {table} is corrupt")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: String,
    },
}

/// An idempotency key and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Whose key: keys of different users never meet.
    pub user_id: UserId,
    /// The key.
    pub key: String,
    /// A digest of the request.
    pub fingerprint: String,
    /// The order it made.
    pub order_id: OrderId,
    /// When; it holds for 24 hours.
    pub created_at: Timestamp,
}

/// A change of an order, its saga, or both: kept as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The order after its event; its version is one above the stored one.
    pub order: Option<(Order, OrderEvent)>,
    /// The saga; its version is one above the stored one.
    pub saga: Saga,
}

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Of this user alone.
    pub user_id: Option<UserId>,
    /// In these states; all when empty.
    pub statuses: Vec<OrderStatus>,
    /// Older than this one.
    pub before: Option<OrderId>,
}

/// Orders that changed since a position of the event log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangedOrders {
    /// Each with its saga and the position of its last event, in the order of those positions.
    pub orders: Vec<(u64, Order, Saga)>,
    /// The last position before every event of an order whose saga is not done: the end of the log if all are.
    /// Of the same moment as `orders`, or earlier.
    pub settled: u64,
}

/// What is owed to orders at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Sagas that are not done: checkouts, and refunds of orders that were decided long ago.
    pub sagas: u64,
    /// When the first placed of those orders was placed that are still undecided; `None` when there is none.
    pub oldest_pending: Option<Timestamp>,
}

/// Orders, their sagas, their events and the idempotency records.
///
/// Every write is on disk when it is answered. The event of a change goes to the event log and the outbox in the same
/// transaction, with the request id and the trace of the caller.
#[async_trait]
pub trait OrderRepository: Send + Sync {
    /// Writes a new order with its event, its saga and its idempotency record.
    ///
    /// When the key is taken nothing is written and the record that holds it is returned; a record older than 24 hours is
    /// replaced. Of several calls at once with one key exactly one writes.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] when there is an order with this id; nothing is written then.
    async fn place(
        &self,
        order: Order,
        event: OrderEvent,
        saga: Saga,
        key: Option<IdempotencyRecord>,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError>;

    /// The record of a key, unless it is older than 24 hours.
    async fn find_key(
        &self,
        user_id: UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError>;

    /// An order.
    async fn find(&self, id: OrderId) -> Result<Option<Order>, RepositoryError>;

    /// An order and its saga, as of one moment.
    async fn find_with_saga(&self, id: OrderId) -> Result<Option<(Order, Saga)>, RepositoryError>;

    /// The request that placed an order, where that is known: what is done for it later belongs to that request.
    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError>;

    /// Writes a change.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] when the stored version of either is not the one before; nothing is written then.
    async fn save(&self, change: Change) -> Result<(), RepositoryError>;

    /// Takes over at most `limit` sagas that are due at `now`, most overdue first, for `owner` until `lease_until`.
    /// No saga is given to two callers.
    async fn claim_due(
        &self,
        now: Timestamp,
        owner: &str,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Order, Saga)>, RepositoryError>;

    /// When the next saga is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError>;

    /// What is owed to orders. Its cost grows with the unfinished sagas, not with all orders.
    async fn count_unfinished(&self) -> Result<Unfinished, RepositoryError>;

    /// Makes every unfinished saga due at `now` whose owner can't be alive any more. Called once, before anything else:
    /// a store that only one process can have open knows that all owners are gone; others leave it to the leases.
    async fn release_leases_of_the_dead(&self, now: Timestamp) -> Result<usize, RepositoryError>;

    /// Newest first.
    async fn list(&self, filter: OrderFilter, limit: usize) -> Result<Vec<Order>, RepositoryError>;

    /// The order after each of its events, oldest first; empty for an unknown one.
    async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, RepositoryError>;

    /// At most `limit` orders whose last event is after a position, each once. Its cost grows with what is returned and the
    /// unfinished sagas, not with all orders.
    async fn changed_since(&self, after: u64, limit: usize) -> Result<ChangedOrders, RepositoryError>;

    /// Forgets idempotency records older than 24 hours.
    async fn forget_old_keys(&self, now: Timestamp) -> Result<usize, RepositoryError>;
}

/// A neighbour did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NeighbourError {
    /// It is away, or did not answer in time; safe to try again.
    #[error("{service} is not available: {detail}")]
    Unavailable {
        /// Which.
        service: &'static str,
        /// What was seen.
        detail: String,
    },
    /// It said something that this service has no answer to: a bug on either side.
    #[error("{service} refused: {detail}")]
    Refused {
        /// Which.
        service: &'static str,
        /// Its words.
        detail: String,
    },
}

/// Why nothing was held.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HoldError {
    /// Too little of something; nothing is held.
    #[error("out of stock")]
    OutOfStock(Vec<MissingItem>),
    /// The reservation was released before: the order is over.
    #[error("the reservation was released")]
    Closed,
    /// See there.
    #[error(transparent)]
    Neighbour(#[from] NeighbourError),
}

/// Why the hold was not pinned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PinError {
    /// It ran out; hold again.
    #[error("the hold ran out")]
    Expired,
    /// See there.
    #[error(transparent)]
    Neighbour(#[from] NeighbourError),
}

/// The catalogue and the stock. Everything is idempotent by the order's id.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// Names and prices now; unknown products are left out.
    async fn price(&self, skus: &[Sku]) -> Result<Vec<PricedProduct>, NeighbourError>;
    /// Holds all lines of the order, or none.
    async fn hold(&self, order: &Order) -> Result<(), HoldError>;
    /// Makes the hold last until commit or release.
    async fn pin(&self, order_id: OrderId) -> Result<(), PinError>;
    /// The goods of a confirmed order leave the shelf, also where inventory forgot that they were pinned.
    async fn commit(&self, order: &Order) -> Result<(), NeighbourError>;
    /// The goods are free again, whether they were held, pinned or had left the shelf.
    async fn give_back(&self, order_id: OrderId) -> Result<(), NeighbourError>;
}

/// What became of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// The money is taken.
    Captured,
    /// It is not and will not be.
    Declined {
        /// In words a customer may read.
        reason: String,
    },
    /// Nobody knows yet; asking again, or the payment's event, will tell.
    Unknown,
}

/// The payment service. A charge is idempotent by the order's id, a refund by its own.
#[async_trait]
pub trait Payments: Send + Sync {
    /// Charges the order once, however often it is asked.
    async fn charge(&self, order: &Order, method: &str) -> Result<Charge, NeighbourError>;
    /// Gives the whole amount back once, however often it is asked.
    async fn refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        amount: Money,
        reason: &str,
    ) -> Result<(), NeighbourError>;
}
