//! Payments.

use contracts::Timestamp;
use contracts::grpc::payment::{self, PaymentStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::{BadAnswer, Money, non_empty};

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Payment {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// What was paid for.
    #[schema(format = Uuid)]
    pub order_id: String,
    /// `pending`, `captured`, `declined`, `unknown`, `partially_refunded` or `refunded`.
    #[schema(example = "captured")]
    pub status: &'static str,
    /// What was charged.
    pub amount: Money,
    /// What was given back so far.
    pub refunded: Money,
    /// As it was asked for.
    #[schema(example = "card_ok")]
    pub method: String,
    /// Why the card was declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decline_reason: Option<String>,
    /// The provider's own id of the charge, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub provider_reference: Option<String>,
    /// Grows by one with every change.
    pub version: u64,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl TryFrom<payment::Payment> for Payment {
    type Error = BadAnswer;

    fn try_from(payment: payment::Payment) -> Result<Self, BadAnswer> {
        Ok(Self {
            status: status_name(payment.status)?,
            id: payment.id,
            order_id: payment.order_id,
            amount: payment.amount.try_into()?,
            refunded: payment.refunded.try_into()?,
            method: payment.method,
            decline_reason: non_empty(payment.decline_reason),
            provider_reference: non_empty(payment.provider_reference),
            version: payment.version,
            created_at: Timestamp::from_unix_ms(payment.created_at_unix_ms),
            updated_at: Timestamp::from_unix_ms(payment.updated_at_unix_ms),
        })
    }
}

fn status_name(status: i32) -> Result<&'static str, BadAnswer> {
    Ok(match PaymentStatus::try_from(status) {
        Ok(PaymentStatus::Pending) => "pending",
        Ok(PaymentStatus::Captured) => "captured",
        Ok(PaymentStatus::Declined) => "declined",
        Ok(PaymentStatus::Unknown) => "unknown",
        Ok(PaymentStatus::PartiallyRefunded) => "partially_refunded",
        Ok(PaymentStatus::Refunded) => "refunded",
        Ok(PaymentStatus::Unspecified) | Err(_) => return Err(BadAnswer("a payment in a state that is none")),
    })
}
