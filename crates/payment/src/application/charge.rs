//! Charges an order once.

use std::sync::Arc;

use contracts::ids::PaymentId;
use observability::logs::error_chain;

use super::outcomes::OutcomeRecorder;
use super::ports::{ChargeInstruction, PaymentProvider, ProviderError, RepositoryError, UnknownMethod};
use super::wake::WakeSignal;
use crate::domain::payment::ChargeDetails;
use crate::domain::{OtherCharge, Payment};

/// Why an order could not be charged. A decline is no error.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// The provider does not know the method; nothing was written.
    #[error("the payment method is unknown")]
    UnknownMethod(#[source] UnknownMethod),
    /// The order was charged before with other details.
    #[error("the order was charged with other details")]
    Mismatch(#[source] OtherCharge),
    /// The store failed; repeating is safe, also when the provider was asked.
    #[error("the payment could not be read or written")]
    Store(#[source] RepositoryError),
}

/// Charges orders.
#[derive(Clone)]
pub struct ChargeOrder {
    /// Who moves the money.
    pub provider: Arc<dyn PaymentProvider>,
    /// Writes what it says.
    pub outcomes: OutcomeRecorder,
    /// Wakes the reconciler.
    pub wake: WakeSignal,
}

impl ChargeOrder {
    /// Charges the order, however often it is asked, and returns the payment as it stands: captured, declined, or unknown
    /// if the provider did not say in time.
    ///
    /// The intent is written before the provider is asked and the outcome after. Whatever happens in between, a repeated
    /// call, or else the reconciler, asks again with the same key.
    ///
    /// # Errors
    /// [`ChargeError`].
    pub async fn execute(&self, details: ChargeDetails) -> Result<Payment, ChargeError> {
        self.provider.check_method(&details.method).map_err(ChargeError::UnknownMethod)?;
        let recorder = &self.outcomes;
        let id = PaymentId::from_uuid(recorder.ids.new_uuid());
        let opened = Payment::open(id, details.clone(), recorder.clock.now(), &recorder.schedule);
        let payment = match recorder.repository.open(&opened).await.map_err(ChargeError::Store)? {
            None => opened,
            Some(existing) => {
                existing.check_same_charge(&details).map_err(ChargeError::Mismatch)?;
                existing
            }
        };
        if payment.is_decided() {
            return Ok(payment);
        }
        let guard = self.wake.unless_settled();
        let payment = ask(self.provider.as_ref(), recorder, payment).await.map_err(ChargeError::Store)?;
        if payment.is_decided() {
            guard.settled();
        }
        Ok(payment)
    }
}

/// Asks the provider for the charge of an undecided payment, and writes what it says or that it said nothing.
pub(super) async fn ask(
    provider: &dyn PaymentProvider,
    recorder: &OutcomeRecorder,
    payment: Payment,
) -> Result<Payment, RepositoryError> {
    let instruction = ChargeInstruction {
        idempotency_key: payment.order_id(),
        amount: payment.amount(),
        method: payment.method().clone(),
    };
    match provider.charge(instruction).await {
        Ok(outcome) => recorder.charge_settled(payment, &outcome).await,
        Err(error) => {
            log_unanswered(&payment, provider.name(), &error);
            recorder.charge_unanswered(payment).await
        }
    }
}

pub(super) fn log_unanswered(payment: &Payment, provider: &str, error: &ProviderError) {
    let (order_id, error_text) = (payment.order_id(), error_chain(error));
    match error {
        ProviderError::Timeout | ProviderError::Unavailable(_) => {
            tracing::warn!(order.id = %order_id, provider, error = error_text, "payment undecided, will be looked at again");
        }
        ProviderError::Refused(_) => {
            tracing::error!(order.id = %order_id, provider, error = error_text, "the provider refuses a request: payment needs a look");
        }
    }
}
