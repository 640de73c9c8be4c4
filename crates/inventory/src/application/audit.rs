//! What the inventory tells an audit across stores: facts as they are stored, judged by nobody here.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;

use super::ports::RepositoryError;

/// A reservation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationFacts {
    /// Whose.
    pub order_id: OrderId,
    /// `held`, `pinned`, `committed`, `released` or `returned`; or [`Self::DAMAGED`].
    pub status: String,
    /// What is promised, sold or was: sku and units, in the order in which it was asked for.
    pub lines: Vec<(String, u32)>,
    /// When a hold runs out.
    pub expires_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl ReservationFacts {
    /// The status of one of which what is stored makes no sense, or is gone although its order is known.
    pub const DAMAGED: &str = "damaged";

    /// What can be said of a damaged one: whose it is.
    pub fn damaged(order_id: OrderId) -> Self {
        let updated_at = Timestamp::from_unix_ms(0);
        Self { order_id, status: Self::DAMAGED.to_owned(), lines: Vec::new(), expires_at: None, updated_at }
    }

    /// Whether nothing else is known of it.
    pub fn is_damaged(&self) -> bool {
        self.status == Self::DAMAGED
    }
}

/// One product's stock, as counters, ledger and reservations each have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockFacts {
    /// Which product.
    pub sku: String,
    /// Units on hand and units reserved, by the counters; `None` where they are missing or no numbers.
    pub counted: Option<(i64, i64)>,
    /// Units on hand, by the ledger: what came less what went.
    pub ledger: i64,
    /// Units that left the shelf for orders, by the ledger.
    pub shipped: i64,
    /// Units that held and pinned reservations have.
    pub promised: i64,
    /// Units that committed and returned reservations got.
    pub sold: i64,
}

/// Reads the inventory's store for an audit: it writes nothing, and runs no migration.
#[async_trait]
pub trait InventoryAudit: Send + Sync {
    /// Reservations of the span by order id, `limit` at most. One that makes no sense is told as damaged and keeps none of the
    /// others from being told; one whose key is no order id is reported in the log and passed over.
    async fn list_reservations(&self, span: Span, limit: usize) -> Result<Page<ReservationFacts>, RepositoryError>;

    /// The stock of products whose counters, ledger and reservations may not agree, each as of one moment. Those that agree may be
    /// left out, and so may those that changed every time they were looked at. Looks through the whole store. What a damaged
    /// reservation has is not known, and counts as nothing.
    async fn list_suspect_stock(&self) -> Result<Vec<StockFacts>, RepositoryError>;

    /// Events that wait to be published.
    async fn backlog(&self) -> Result<Backlog, RepositoryError>;
}
