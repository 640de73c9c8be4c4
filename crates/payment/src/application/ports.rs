//! What the use cases need from outside. The docs are the specification that every adapter meets.

use async_trait::async_trait;
use contracts::ids::{OrderId, RefundId};
use contracts::{Event, Money, Timestamp};
use observability::Cause;
use uuid::Uuid;

use crate::domain::{Payment, PaymentMethod, ProviderReference, RefundInstruction};

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The payment changed in the meantime, or a uniqueness of the store would be broken: read again.
    #[error("the payment changed in the meantime")]
    Conflict,
    /// The store is away or failing; safe to try again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored makes no sense.
    #[error("row {row} of {table} makes no sense")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Its key.
        row: String,
    },
}

/// What a ledger entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    /// Money taken.
    Capture,
    /// Money given back.
    Refund(RefundId),
}

/// One movement of money, written once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// A new id.
    pub id: Uuid,
    /// The order paid for.
    pub order_id: OrderId,
    /// Which way.
    pub kind: LedgerKind,
    /// How much; positive either way.
    pub amount: Money,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A payment as it is to be, with what is recorded and told in the same transaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// The payment after the change.
    pub payment: Payment,
    /// Its version before the change.
    pub expected_version: u64,
    /// The movement of money, if there was one.
    pub entry: Option<LedgerEntry>,
    /// What the other services hear, if anything.
    pub event: Option<Event>,
}

/// Something undecided whose moment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// The charge of an order.
    Charge(OrderId),
    /// A refund of an order.
    Refund(OrderId, RefundId),
}

/// Payments, their refunds and the ledger.
///
/// - One payment per order; one refund per refund id, over all orders; in the ledger one capture per order and one entry
///   per refund id. A write that would break one of these is a [`RepositoryError::Conflict`].
/// - Times are kept to the millisecond, amounts exactly, and what was answered survives a power cut.
#[async_trait]
pub trait PaymentRepository: Send + Sync {
    /// Writes a new payment unless the order has one, and then gives that one back. Of several at once one is written, and
    /// all others get it.
    async fn open(&self, payment: &Payment) -> Result<Option<Payment>, RepositoryError>;

    /// The payment of an order with all its refunds, in the order they were asked for.
    async fn find_by_order(&self, order_id: OrderId) -> Result<Option<Payment>, RepositoryError>;

    /// The request that opened the payment of an order, where that is known: what is done for it later belongs to that request.
    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError>;

    /// The order that a refund belongs to.
    async fn find_order_of_refund(&self, refund_id: RefundId) -> Result<Option<OrderId>, RepositoryError>;

    /// Writes the payment, its refunds, the entry and the event, all or nothing; [`RepositoryError::Conflict`] unless the
    /// stored version is the expected one.
    async fn save(&self, change: Change) -> Result<(), RepositoryError>;

    /// What is due at `now`, longest overdue first, at most `limit`.
    async fn list_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, RepositoryError>;

    /// When the next thing is due; `None` when everything is decided.
    async fn find_next_due(&self) -> Result<Option<Timestamp>, RepositoryError>;

    /// The ledger entries of an order, oldest first: for audits.
    async fn list_ledger(&self, order_id: OrderId) -> Result<Vec<LedgerEntry>, RepositoryError>;
}

/// What the provider decided about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken.
    Captured {
        /// The provider's id of the charge.
        reference: ProviderReference,
    },
    /// It was not.
    Declined {
        /// Why, in words for the customer.
        reason: String,
    },
}

/// What the provider knows of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundCharge {
    /// Decided.
    Settled(ChargeOutcome),
    /// Asked for and not decided yet.
    Processing,
}

/// The provider gave no answer that settles the matter; the same request may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time: it may or may not have been done.
    #[error("the payment provider did not answer in time")]
    Timeout,
    /// The provider is away or failing: it may or may not have been done.
    #[error("the payment provider is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The provider finds the request itself wrong, such as a key used before for something else: someone must look.
    #[error("the payment provider refuses the request: {0}")]
    Refused(String),
}

/// What is to be charged, in the provider's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeInstruction {
    /// Names the charge however often it is asked for.
    pub idempotency_key: OrderId,
    /// How much.
    pub amount: Money,
    /// How.
    pub method: PaymentMethod,
}

/// The provider does not know the method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {}", .expected)]
pub struct UnknownMethod {
    /// What it may be, in words that follow "must be".
    pub expected: String,
}

/// Someone who moves money.
///
/// Idempotent by key: the same instruction again is answered as the first was, and moves nothing again; the same key with
/// other details is [`ProviderError::Refused`]. What was asked for is known to the provider even if its answer was lost.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Its name in settings and logs.
    fn name(&self) -> &'static str;

    /// Whether it knows this method; asks nobody.
    fn check_method(&self, method: &PaymentMethod) -> Result<(), UnknownMethod>;

    /// Takes the money.
    async fn charge(&self, instruction: ChargeInstruction) -> Result<ChargeOutcome, ProviderError>;

    /// What became of a charge; `None` when it was never asked for.
    async fn find_charge(&self, idempotency_key: OrderId) -> Result<Option<FoundCharge>, ProviderError>;

    /// Gives money back, once per refund id.
    async fn refund(&self, instruction: RefundInstruction) -> Result<(), ProviderError>;

    /// Answers when the provider can be reached.
    async fn ping(&self) -> Result<(), ProviderError>;
}
