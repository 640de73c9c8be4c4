//! The payment as plain values, for stores.

use contracts::ids::{OrderId, PaymentId, UserId};
use contracts::{Money, Timestamp};

use super::payment::{Charge, Payment, PaymentStatus};
use super::refund::Refund;
use super::schedule::Retry;
use super::values::{PaymentMethod, PositiveAmount, ProviderReference};

/// Everything a store keeps of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSnapshot {
    /// Its id.
    pub id: PaymentId,
    /// The order paid for.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// What is charged.
    pub amount: Money,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Its state.
    pub status: PaymentStatus,
    /// The provider's id of the capture.
    pub reference: Option<ProviderReference>,
    /// Why it was declined.
    pub decline_reason: Option<String>,
    /// When it is looked at again while undecided.
    pub next_check: Option<Retry>,
    /// In the order they were asked for.
    pub refunds: Vec<Refund>,
    /// See [`Payment`].
    pub version: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its version last grew.
    pub updated_at: Timestamp,
}

/// What was stored breaks a rule of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored payment breaks a rule: {0}")]
pub struct InvalidSnapshot(&'static str);

impl Payment {
    /// The payment as plain values.
    pub fn snapshot(&self) -> PaymentSnapshot {
        PaymentSnapshot {
            id: self.id,
            order_id: self.order_id,
            user_id: self.user_id,
            amount: self.amount(),
            method: self.method.clone(),
            status: self.status(),
            reference: self.provider_reference().cloned(),
            decline_reason: self.decline_reason().map(str::to_owned),
            next_check: self.next_check(),
            refunds: self.refunds.clone(),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// The payment that a store kept.
    ///
    /// # Errors
    /// [`InvalidSnapshot`] when no sequence of verbs leads to such a payment.
    pub fn restore(snapshot: PaymentSnapshot) -> Result<Self, InvalidSnapshot> {
        use PaymentStatus::{Captured, Declined, PartiallyRefunded, Pending, Refunded, Unknown};
        let charge = match (snapshot.status, snapshot.next_check, snapshot.reference, snapshot.decline_reason) {
            (Pending, Some(retry), None, None) => Charge::Pending(retry),
            (Unknown, Some(retry), None, None) => Charge::Unknown(retry),
            (Captured | PartiallyRefunded | Refunded, None, Some(reference), None) => Charge::Captured(reference),
            (Declined, None, None, Some(reason)) => Charge::Declined(reason),
            _ => return Err(InvalidSnapshot("its fields don't fit its status")),
        };
        let amount = PositiveAmount::try_from(snapshot.amount).map_err(|_| InvalidSnapshot("its amount"))?;
        if !snapshot.refunds.is_empty() && !matches!(charge, Charge::Captured(_)) {
            return Err(InvalidSnapshot("it has refunds and no capture"));
        }
        let mut left = snapshot.amount;
        for refund in &snapshot.refunds {
            left = left.checked_sub(refund.amount()).map_err(|_| InvalidSnapshot("a refund's currency or amount"))?;
        }
        if left.amount_minor() < 0 {
            return Err(InvalidSnapshot("its refunds exceed the capture"));
        }
        let payment = Self {
            id: snapshot.id,
            order_id: snapshot.order_id,
            user_id: snapshot.user_id,
            amount,
            method: snapshot.method,
            charge,
            refunds: snapshot.refunds,
            version: snapshot.version,
            created_at: snapshot.created_at,
            updated_at: snapshot.updated_at,
        };
        if payment.status() != snapshot.status {
            return Err(InvalidSnapshot("its refunds don't fit its status"));
        }
        Ok(payment)
    }
}
