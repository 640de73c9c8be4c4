//! The sandbox's books: what an outside provider would know. They are not the ledger, and never share its tables.

use async_trait::async_trait;
use contracts::ids::OrderId;
use contracts::money::{Currency, MoneyError};
use contracts::{Money, Timestamp};

use crate::application::ports::{ChargeOutcome, ProviderError};
use crate::domain::RefundInstruction;

#[cfg(feature = "postgres")]
pub mod postgres;
pub mod sqlite;

/// A charge in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRow {
    /// Names the charge however often it is asked for.
    pub idempotency_key: OrderId,
    /// The provider's id of it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// How.
    pub method: String,
    /// Set if declined.
    pub decline_reason: Option<String>,
    /// When it was asked for first.
    pub asked_at: Timestamp,
    /// The outcome is told from this moment on.
    pub settle_at: Timestamp,
}

impl ChargeRow {
    const fn outcome_name(&self) -> &'static str {
        if self.decline_reason.is_some() { "declined" } else { "captured" }
    }

    /// What it came to, or will.
    pub(super) fn outcome(&self) -> Result<ChargeOutcome, ProviderError> {
        if let Some(reason) = &self.decline_reason {
            return Ok(ChargeOutcome::Declined { reason: reason.clone() });
        }
        let reference = self
            .reference
            .parse()
            .map_err(|error| ProviderError::Refused(format!("the books are damaged: {error}")))?;
        Ok(ChargeOutcome::Captured { reference })
    }
}

/// Where the books are kept. Any number of processes may share them.
///
/// A refusal ([`ProviderError::Refused`]) keeps nothing; any other failure is [`ProviderError::Unavailable`].
#[async_trait]
pub trait SandboxBooks: Send + Sync {
    /// Records a charge that is asked for, or that it was asked for again; returns it as it was asked for first. Of several
    /// with one key at once one is recorded. A key that was used with another amount or method is refused.
    async fn record_charge(&self, new: ChargeRow) -> Result<ChargeRow, ProviderError>;

    /// The charge with this key.
    async fn find_charge(&self, key: OrderId) -> Result<Option<ChargeRow>, ProviderError>;

    /// Records a refund, or that it was asked for again. Refused: a refund id that was used for another refund, a charge that
    /// is not captured by `now`, and what would make a charge's refunds exceed it, also where several are asked for at once.
    async fn record_refund(&self, refund: RefundInstruction, now: Timestamp) -> Result<(), ProviderError>;

    /// Answers when the books can be read.
    async fn ping(&self) -> Result<(), ProviderError>;
}

const OTHER_CHARGE: &str = "the idempotency key was used with another amount or method";
const OTHER_REFUND: &str = "the refund id was used for another refund";
const NO_CHARGE: &str = "there is no such captured charge";
const TOO_MUCH: &str = "the refund exceeds the charge";

/// An amount as the books keep it.
fn money(amount_minor: i64, currency: &str) -> Result<Money, MoneyError> {
    Currency::parse(currency).and_then(|currency| Money::new(amount_minor, currency))
}
