//! What the use cases need from a store. The documentation here is what every adapter must do; the contract suite in
//! `tests/it/contract.rs` checks it.

use async_trait::async_trait;
use contracts::ids::OrderId;
use contracts::{Sku, Timestamp};

use crate::domain::claim::Claim;
use crate::domain::error::{CatalogueError, ReservationError};
use crate::domain::lines::Lines;
use crate::domain::product::{Product, ProductChange, ProductCommand};
use crate::domain::reservation::{Reservation, ReservationCommand};
use crate::domain::values::Tag;

/// The store failed; what was asked happened as a whole or not at all.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Someone else changed the same in the meantime; repeating is right.
    #[error("it was changed by someone else in the meantime")]
    Conflict,
    /// The store could not do it now; repeating is safe.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store holds what it can't: repeating does not help.
    #[error("row {row} of {table} makes no sense")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Its key.
        row: String,
    },
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<R: std::error::Error> {
    /// A rule says no; nothing was changed.
    #[error(transparent)]
    Refused(R),
    /// The store failed.
    #[error("the change could not be saved")]
    Store(#[source] RepositoryError),
}

/// Which products are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductQuery {
    /// Only those with this text in name, sku or description, whatever the letter case (Unicode's simple lower case);
    /// empty for all. No character in it has a meaning of its own.
    pub search: String,
    /// Only those that carry every one of these.
    pub tags: Vec<Tag>,
    /// Only those after this one.
    pub after: Option<Sku>,
    /// Most products wanted, at least 1.
    pub limit: usize,
}

/// Some products, in order of sku (byte by byte).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductPage {
    /// The products.
    pub items: Vec<Product>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Sku>,
}

/// The catalogue.
///
/// Products, the count of their stock, the stock ledger and the `product.*` events of one change are saved in one step.
/// Events carry the context of the request that the calling task works for.
#[async_trait]
pub trait CatalogueRepository: Send + Sync {
    /// The product with this sku.
    async fn find(&self, sku: Sku) -> Result<Option<Product>, RepositoryError>;

    /// The products with these skus, in the order asked for, each once; unknown ones are left out. All are of one moment.
    async fn find_many(&self, skus: Vec<Sku>) -> Result<Vec<Product>, RepositoryError>;

    /// A page of products.
    async fn list(&self, query: ProductQuery) -> Result<ProductPage, RepositoryError>;

    /// Saves a new product and what came with it; [`CatalogueError::Exists`] when its sku is taken.
    async fn add(&self, product: Product, change: ProductChange) -> Result<(), ChangeError<CatalogueError>>;

    /// Applies a command to the product ([`Product::apply`]) and saves what changed, alone with the product and its
    /// stock; [`CatalogueError::NotFound`] when there is none. Returns the product afterwards.
    async fn change(
        &self,
        sku: Sku,
        command: ProductCommand,
        now: Timestamp,
    ) -> Result<Product, ChangeError<CatalogueError>>;
}

/// The reservations of orders and the stock that they touch.
///
/// A reservation, the stock of its lines, the stock ledger and the `inventory.*` event of one change are saved in one
/// step, all or nothing, whoever else asks at the same time: no unit is ever promised twice.
#[async_trait]
pub trait ReservationRepository: Send + Sync {
    /// The reservation of an order, tombstones included.
    async fn find(&self, order_id: OrderId) -> Result<Option<Reservation>, RepositoryError>;

    /// Decides ([`Reservation::decide`]), applies the effect on stock ([`crate::domain::stock::apply`]) and saves.
    /// Returns the reservation afterwards.
    ///
    /// Where the change says so, what is missing is first booked as found ([`crate::domain::stock::cover`]): as an entry of the
    /// ledger of the kind `counted` whose reason begins with `uncovered: order` and names it, in the log, and in a metric.
    ///
    /// What is given back of a product that is not in the catalogue is told to the log, and nothing else: no entry of the
    /// ledger, and no product comes of it.
    async fn apply(
        &self,
        order_id: OrderId,
        command: ReservationCommand,
        now: Timestamp,
    ) -> Result<Reservation, ChangeError<ReservationError>>;

    /// Ends holds that ran out by `now` ([`Reservation::expire`]), those first that ran out first, at most `limit`.
    /// Returns how many. One that can't be ended because its row makes no sense is reported in the log and passed over.
    async fn release_expired(&self, now: Timestamp, limit: usize) -> Result<usize, RepositoryError>;

    /// When the next hold runs out, or ran out; `None` when nothing is held.
    async fn next_expiry(&self) -> Result<Option<Timestamp>, RepositoryError>;
}

/// What an order wants of the stock, by the order log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderClaim {
    /// Whose.
    pub order_id: OrderId,
    /// The position of the order's last event.
    pub position: u64,
    /// What it has a right to; `None` while its saga will still ask for what it needs.
    pub claim: Option<Claim>,
    /// What it bought.
    pub lines: Lines,
}

/// Some orders.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClaimPage {
    /// In the order of their last events.
    pub claims: Vec<OrderClaim>,
    /// Whatever was to be asked of the inventory for orders whose last event is at or before this position, was asked
    /// and answered before this was read; except for what transactions that were then under way may have added.
    pub settled: u64,
}

/// Orders could not be read; repeating is right.
#[derive(Debug, thiserror::Error)]
#[error("what orders want could not be read")]
pub struct OrderLogError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The event log of orders, as far as it concerns the stock.
#[async_trait]
pub trait OrderLog: Send + Sync {
    /// At most `limit` (up to 500) orders whose last event is after a position, each once; none when there are no more.
    async fn claims(&self, after: u64, limit: usize) -> Result<ClaimPage, OrderLogError>;
}
