//! Messages to commands, payments to messages. Every field at fault is named at once.

use std::fmt::Display;
use std::str::FromStr;

use contracts::grpc::{payment as pb, types};
use contracts::ids::OrderId;
use contracts::money::MoneyError;
use contracts::values::parse_text;
use contracts::{Money, Reason, Refusal};

use crate::application::refund::RefundRequested;
use crate::domain::payment::ChargeDetails;
use crate::domain::{Payment, PaymentStatus, PositiveAmount, ProviderReference};

/// Most characters of a refund's reason.
const MAX_REASON: usize = 500;

/// Collects the fields at fault.
struct Fields(Refusal);

impl Fields {
    fn new() -> Self {
        Self(Refusal::new(Reason::InvalidRequest, Reason::InvalidRequest.title()))
    }

    fn add(&mut self, field: &str, message: impl Display) {
        self.0
            .fields
            .push(contracts::refusal::FieldViolation { field: field.to_owned(), message: message.to_string() });
    }

    fn parse<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|error| self.add(field, error)).ok()
    }

    fn amount(&mut self, field: &str, amount: Option<types::Money>) -> Option<PositiveAmount> {
        let Some(amount) = amount else {
            self.add(field, "is missing");
            return None;
        };
        let minor = format!("{field}/amount_minor");
        let money = Money::try_from(amount).map_err(|error| match error {
            MoneyError::InvalidCurrency | MoneyError::MixedCurrencies(..) => {
                self.add(&format!("{field}/currency"), error);
            }
            MoneyError::OutOfRange => self.add(&minor, error),
        });
        PositiveAmount::try_from(money.ok()?).map_err(|error| self.add(&minor, error)).ok()
    }
}

/// The charge that is asked for.
pub(super) fn charge_details(request: pb::ChargeRequest) -> Result<ChargeDetails, Refusal> {
    let mut fields = Fields::new();
    let order_id = fields.parse("/order_id", &request.order_id);
    let user_id = fields.parse("/user_id", &request.user_id);
    let amount = fields.amount("/amount", request.amount);
    let method = fields.parse("/payment_method", &request.method);
    match (order_id, user_id, amount, method) {
        (Some(order_id), Some(user_id), Some(amount), Some(method)) => {
            Ok(ChargeDetails { order_id, user_id, amount, method })
        }
        _ => Err(fields.0),
    }
}

/// The refund that is asked for.
pub(super) fn refund_requested(request: pb::RefundRequest) -> Result<RefundRequested, Refusal> {
    let mut fields = Fields::new();
    let order_id = fields.parse("/order_id", &request.order_id);
    let refund_id = fields.parse("/refund_id", &request.refund_id);
    let amount = fields.amount("/amount", request.amount);
    let reason = parse_text(&request.reason, 0, MAX_REASON).map_err(|error| fields.add("/reason", error)).ok();
    match (order_id, refund_id, amount, reason) {
        (Some(order_id), Some(refund_id), Some(amount), Some(reason)) => {
            Ok(RefundRequested { order_id, refund_id, amount, reason })
        }
        _ => Err(fields.0),
    }
}

/// The order that is asked about.
pub(super) fn order_id(text: &str) -> Result<OrderId, Refusal> {
    text.parse().map_err(|error| Refusal::invalid("/order_id", error))
}

/// A payment as callers see it.
pub(super) fn payment(payment: &Payment) -> pb::Payment {
    let status = match payment.status() {
        PaymentStatus::Pending => pb::PaymentStatus::Pending,
        PaymentStatus::Unknown => pb::PaymentStatus::Unknown,
        PaymentStatus::Captured => pb::PaymentStatus::Captured,
        PaymentStatus::Declined => pb::PaymentStatus::Declined,
        PaymentStatus::PartiallyRefunded => pb::PaymentStatus::PartiallyRefunded,
        PaymentStatus::Refunded => pb::PaymentStatus::Refunded,
    };
    pb::Payment {
        id: payment.id().to_string(),
        order_id: payment.order_id().to_string(),
        user_id: payment.user_id().to_string(),
        status: status.into(),
        amount: Some(payment.amount().into()),
        refunded: Some(payment.refunded().into()),
        method: payment.method().as_str().to_owned(),
        decline_reason: payment.decline_reason().unwrap_or_default().to_owned(),
        provider_reference: payment.provider_reference().map(ProviderReference::to_string).unwrap_or_default(),
        version: payment.version(),
        created_at_unix_ms: payment.created_at().unix_ms(),
        updated_at_unix_ms: payment.updated_at().unix_ms(),
    }
}
