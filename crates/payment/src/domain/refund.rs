//! Money on its way back, a part of the payment.

use contracts::Money;
use contracts::ids::RefundId;

use super::schedule::Retry;
use super::values::{PositiveAmount, ProviderReference};

/// One refund of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub(super) id: RefundId,
    pub(super) amount: PositiveAmount,
    pub(super) reason: String,
    pub(super) progress: RefundProgress,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundProgress {
    /// Asked for, not yet confirmed by the provider.
    Pending(Retry),
    /// The provider gave the money back.
    Done,
}

/// What the provider is to be told about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundInstruction {
    /// Its idempotency key.
    pub refund_id: RefundId,
    /// The charge to give back from.
    pub reference: ProviderReference,
    /// How much.
    pub amount: Money,
}

impl Refund {
    /// A refund as it was stored.
    pub const fn restore(id: RefundId, amount: PositiveAmount, reason: String, progress: RefundProgress) -> Self {
        Self { id, amount, reason, progress }
    }

    /// Its idempotency key.
    pub const fn id(&self) -> RefundId {
        self.id
    }

    /// How much.
    pub const fn amount(&self) -> Money {
        self.amount.money()
    }

    /// Why, in the words of whoever asked; may be empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How far it is.
    pub const fn progress(&self) -> RefundProgress {
        self.progress
    }

    /// Whether the money is given back.
    pub const fn is_done(&self) -> bool {
        matches!(self.progress, RefundProgress::Done)
    }
}
