//! Errors of the use cases to refusals. Every variant chooses its reason: no wildcard.

use std::error::Error;
use std::time::Duration;

use contracts::{Reason, Refusal};
use observability::logs::error_chain;
use tonic::Status;

use crate::application::charge::ChargeError;
use crate::application::ports::RepositoryError;
use crate::application::refund::RefundError;
use crate::domain::RefundRefused;

/// When repeating makes sense after a store or a provider failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) fn of_charge(error: ChargeError) -> Status {
    let refusal = match &error {
        ChargeError::UnknownMethod(unknown) => Refusal::invalid("/payment_method", unknown),
        ChargeError::Mismatch(other) => Refusal::new(Reason::PaymentMismatch, other.to_string()),
        ChargeError::Store(store) => store_refusal(store, &error),
    };
    refusal.into()
}

pub(super) fn of_refund(error: RefundError) -> Status {
    let refusal = match &error {
        RefundError::NeverCharged => Refusal::new(Reason::PaymentNotCaptured, error.to_string()),
        RefundError::Refused(refused) => match refused {
            RefundRefused::NotCaptured { .. } => Refusal::new(Reason::PaymentNotCaptured, refused.to_string()),
            RefundRefused::OtherCurrency { captured } => {
                Refusal::invalid("/amount/currency", format!("must be {}, as captured", captured.currency()))
            }
            RefundRefused::ExceedsCapture { left } => {
                Refusal::new(Reason::RefundExceedsCapture, refused.to_string()).with("left_minor", left.amount_minor())
            }
            RefundRefused::OtherRefund => Refusal::new(Reason::PaymentMismatch, refused.to_string()),
        },
        // Logged where it happened, with what is done about it.
        RefundError::Provider(_) => Refusal::new(Reason::Unavailable, error.to_string()).retry_after(RETRY_AFTER),
        RefundError::Store(store) => store_refusal(store, &error),
    };
    refusal.into()
}

pub(super) fn of_store(error: RepositoryError) -> Status {
    store_refusal(&error, &error).into()
}

/// The cause is logged here, once; the caller is told no internals.
fn store_refusal(store: &RepositoryError, whole: &(dyn Error + 'static)) -> Refusal {
    match store {
        RepositoryError::Conflict | RepositoryError::Unavailable(_) => {
            tracing::warn!(error = error_chain(whole), "payment store failed");
            Refusal::new(Reason::Unavailable, Reason::Unavailable.title()).retry_after(RETRY_AFTER)
        }
        RepositoryError::Corrupt { .. } => {
            tracing::error!(error = error_chain(whole), "payment store holds a row that makes no sense");
            Refusal::new(Reason::Internal, Reason::Internal.title())
        }
    }
}
