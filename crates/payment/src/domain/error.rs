//! What the payment refuses.

use contracts::Money;

use super::payment::PaymentStatus;

/// The payment's state does not allow this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {} can't {verb}", .from.as_str())]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: PaymentStatus,
    /// What was asked of it.
    pub verb: &'static str,
}

/// The order was charged before with another amount, user or method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order was charged before with another {field}")]
pub struct OtherCharge {
    /// `amount`, `user` or `method`.
    pub field: &'static str,
}

/// Why a refund can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefundRefused {
    /// There is nothing to give back.
    #[error("nothing was captured: the payment is {}", .status.as_str())]
    NotCaptured {
        /// The state it is in.
        status: PaymentStatus,
    },
    /// Captured in one currency, asked for in another.
    #[error("the capture is in {}", .captured.currency())]
    OtherCurrency {
        /// What was captured.
        captured: Money,
    },
    /// More than what is left of the capture; refunds under way count as given.
    #[error("at most {left} can be refunded")]
    ExceedsCapture {
        /// What is left.
        left: Money,
    },
    /// The refund's id was used for another amount.
    #[error("this refund was asked for before with another amount")]
    OtherRefund,
}
