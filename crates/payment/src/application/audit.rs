//! What payment, and the sandbox provider, tell an audit across stores: facts as they are stored, judged by nobody here.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;
use contracts::{Money, Timestamp};

use super::ports::RepositoryError;

/// A payment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentFacts {
    /// Whose.
    pub order_id: OrderId,
    /// `pending`, `unknown`, `captured`, …
    pub status: String,
    /// What was asked for.
    pub amount: Money,
    /// Minor units given back, by the payment itself.
    pub refunded_minor: i64,
    /// When it is looked at next; `None` when its outcome is known.
    pub next_check_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Captures in the ledger.
    pub captures: u64,
    /// Minor units captured, by the ledger.
    pub captured_minor: i64,
    /// Minor units given back, by the ledger.
    pub ledger_refunded_minor: i64,
    /// Refunds that the provider has not confirmed yet.
    pub refunds_due: u64,
}

/// A charge in the provider's own books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeFacts {
    /// Whose: the key that it was asked for with.
    pub order_id: OrderId,
    /// Whether the money was taken, or will be at `settle_at`.
    pub is_captured: bool,
    /// How much.
    pub amount: Money,
    /// Minor units given back.
    pub refunded_minor: i64,
    /// When the provider tells the outcome.
    pub settle_at: Timestamp,
    /// How often it was asked for; it is made once.
    pub times_asked: u64,
}

/// Reads the payment store for an audit: it writes nothing, and runs no migration.
#[async_trait]
pub trait PaymentAudit: Send + Sync {
    /// Payments of the span by order id, `limit` at most, each page of one moment.
    ///
    /// # Errors
    /// [`RepositoryError::Corrupt`] when an amount is none.
    async fn list_payments(&self, span: Span, limit: usize) -> Result<Page<PaymentFacts>, RepositoryError>;

    /// Payments whose outcome is not known.
    async fn count_undecided(&self) -> Result<u64, RepositoryError>;

    /// Refunds that the provider has not confirmed.
    async fn count_refunds_due(&self) -> Result<u64, RepositoryError>;

    /// Events that wait to be published.
    async fn backlog(&self) -> Result<Backlog, RepositoryError>;
}

/// Reads the provider's books for an audit.
#[async_trait]
pub trait ProviderAudit: Send + Sync {
    /// Charges of the span by order id, `limit` at most, each page of one moment.
    ///
    /// # Errors
    /// [`RepositoryError::Corrupt`] when an amount is none.
    async fn list_charges(&self, span: Span, limit: usize) -> Result<Page<ChargeFacts>, RepositoryError>;

    /// How often charges were asked for beyond once each: retries, none of which may have charged again.
    async fn count_repeated_charges(&self) -> Result<u64, RepositoryError>;
}
