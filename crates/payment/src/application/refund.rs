//! Gives captured money back, once per refund id.

use std::sync::Arc;

use contracts::ids::{OrderId, RefundId};

use super::charge::log_unanswered;
use super::outcomes::{MAX_CONFLICTS, OutcomeRecorder};
use super::ports::{Change, PaymentProvider, ProviderError, RepositoryError};
use super::wake::WakeSignal;
use crate::domain::payment::RefundStanding;
use crate::domain::{Payment, PositiveAmount, RefundRefused};

/// A refund that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequested {
    /// The order paid for.
    pub order_id: OrderId,
    /// The idempotency key.
    pub refund_id: RefundId,
    /// How much.
    pub amount: PositiveAmount,
    /// Why; may be empty.
    pub reason: String,
}

/// Why money was not given back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// The order was never charged.
    #[error("the order was never charged")]
    NeverCharged,
    /// A rule refuses it; nothing was written.
    #[error("the payment refuses the refund")]
    Refused(#[source] RefundRefused),
    /// The provider did not do it yet: the refund is on record and will be done, repeating is safe.
    #[error("the refund is not done yet")]
    Provider(#[source] ProviderError),
    /// The store failed; repeating is safe.
    #[error("the payment could not be read or written")]
    Store(#[source] RepositoryError),
}

/// Gives money back.
#[derive(Clone)]
pub struct RefundPayment {
    /// Who moves the money.
    pub provider: Arc<dyn PaymentProvider>,
    /// Writes what it says.
    pub outcomes: OutcomeRecorder,
    /// Wakes the reconciler.
    pub wake: WakeSignal,
}

impl RefundPayment {
    /// Refunds once, however often it is asked, and returns the payment as it stands then.
    ///
    /// The intent is written before the provider is asked. When the provider fails the intent stays, and a repeated call or
    /// the reconciler carries it out.
    ///
    /// # Errors
    /// [`RefundError`].
    pub async fn execute(&self, request: RefundRequested) -> Result<Payment, RefundError> {
        let (payment, standing) = self.begin(&request).await?;
        if standing == RefundStanding::Done {
            return Ok(payment);
        }
        let guard = self.wake.unless_settled();
        let payment = carry_out(self.provider.as_ref(), &self.outcomes, payment, request.refund_id).await?;
        guard.settled();
        Ok(payment)
    }

    /// Writes the intent, unless it is written already.
    async fn begin(&self, request: &RefundRequested) -> Result<(Payment, RefundStanding), RefundError> {
        let RefundRequested { order_id, refund_id, amount, reason } = request;
        let recorder = &self.outcomes;
        for _ in 0..MAX_CONFLICTS {
            let found = recorder.repository.find_by_order(*order_id).await.map_err(RefundError::Store)?;
            let Some(mut payment) = found else {
                return Err(RefundError::NeverCharged);
            };
            let (expected_version, now) = (payment.version(), recorder.clock.now());
            let standing = payment
                .begin_refund(*refund_id, *amount, reason.clone(), now, &recorder.schedule)
                .map_err(RefundError::Refused)?;
            if standing != RefundStanding::Begun {
                return Ok((payment, standing));
            }
            // The payment knows its own refunds only.
            let elsewhere = recorder.repository.find_order_of_refund(*refund_id).await.map_err(RefundError::Store)?;
            if elsewhere.is_some_and(|other| other != *order_id) {
                return Err(RefundError::Refused(RefundRefused::OtherRefund));
            }
            let change = Change { payment: payment.clone(), expected_version, entry: None, event: None };
            match recorder.repository.save(change).await {
                Ok(()) => return Ok((payment, standing)),
                Err(RepositoryError::Conflict) => {}
                Err(error) => return Err(RefundError::Store(error)),
            }
        }
        Err(RefundError::Store(RepositoryError::Conflict))
    }
}

/// Asks the provider for a pending refund, and writes that it was done or that it was not yet.
pub(super) async fn carry_out(
    provider: &dyn PaymentProvider,
    recorder: &OutcomeRecorder,
    payment: Payment,
    refund_id: RefundId,
) -> Result<Payment, RefundError> {
    let Some(instruction) = payment.pending_refund(refund_id) else {
        return Ok(payment);
    };
    match provider.refund(instruction).await {
        Ok(()) => recorder.refund_done(payment, refund_id).await.map_err(RefundError::Store),
        Err(error) => {
            log_unanswered(&payment, provider.name(), &error);
            recorder.refund_still_open(payment, refund_id).await.map_err(RefundError::Store)?;
            Err(RefundError::Provider(error))
        }
    }
}
