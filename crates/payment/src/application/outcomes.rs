//! Writes what a provider said, or that it said nothing, whoever asked: a call, a repeated call, the reconciler.
//!
//! Several may hear the same answer at once. The first writes; the others find it written and return it.

use std::sync::Arc;

use contracts::ids::RefundId;
use contracts::{Clock, IdGenerator};

use super::events;
use super::ports::{Change, ChargeOutcome, PaymentRepository, RepositoryError};
use crate::domain::{Payment, RetrySchedule};

/// How often a lost race is run again. Each lost one means that another writer got on, and a payment has few writers.
pub(super) const MAX_CONFLICTS: usize = 16;

/// Writes outcomes.
#[derive(Clone)]
pub struct OutcomeRecorder {
    /// The store.
    pub repository: Arc<dyn PaymentRepository>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn IdGenerator>,
    /// When undecided things are looked at again.
    pub schedule: RetrySchedule,
}

impl OutcomeRecorder {
    /// Writes the outcome of a charge with its ledger entry and event, unless it is written already.
    ///
    /// # Errors
    /// [`RepositoryError`]; nothing is written then, and the payment stays due.
    pub async fn charge_settled(&self, payment: Payment, outcome: &ChargeOutcome) -> Result<Payment, RepositoryError> {
        self.write(payment, |payment| {
            if payment.is_decided() {
                warn_of_contradiction(payment, outcome);
                return None;
            }
            let (expected_version, now) = (payment.version(), self.clock.now());
            let mut payment = payment.clone();
            let happened = match outcome {
                ChargeOutcome::Captured { reference } => payment.capture(reference.clone(), now),
                ChargeOutcome::Declined { reason } => payment.decline(reason.clone(), now),
            };
            // Refused only when decided, which was looked at above.
            let happened = happened.ok()?;
            tracing::info!(order.id = %payment.order_id(), status = payment.status().as_str(), "payment decided");
            Some(events::change(payment, expected_version, happened, now, self.ids.as_ref()))
        })
        .await
    }

    /// Writes that asking for the charge brought no answer: a pending payment becomes unknown, an unknown one is looked at
    /// later.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub async fn charge_unanswered(&self, payment: Payment) -> Result<Payment, RepositoryError> {
        self.write(payment, |payment| {
            let (expected_version, now) = (payment.version(), self.clock.now());
            let mut payment = payment.clone();
            // A decided payment refuses both: nothing to write.
            payment.mark_unknown(now, &self.schedule).or_else(|_| payment.postpone_check(now, &self.schedule)).ok()?;
            Some(Change { payment, expected_version, entry: None, event: None })
        })
        .await
    }

    /// Writes that a look at the charge decided nothing.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub async fn charge_still_open(&self, payment: Payment) -> Result<Payment, RepositoryError> {
        self.write(payment, |payment| {
            let expected_version = payment.version();
            let mut payment = payment.clone();
            payment.postpone_check(self.clock.now(), &self.schedule).ok()?;
            Some(Change { payment, expected_version, entry: None, event: None })
        })
        .await
    }

    /// Writes that the money of a refund was given back, with its ledger entry and event, unless it is written already.
    ///
    /// # Errors
    /// [`RepositoryError`]; nothing is written then, and the refund stays due.
    pub async fn refund_done(&self, payment: Payment, refund_id: RefundId) -> Result<Payment, RepositoryError> {
        self.write(payment, |payment| {
            let (expected_version, now) = (payment.version(), self.clock.now());
            let mut payment = payment.clone();
            let happened = payment.complete_refund(refund_id, now).ok()?;
            tracing::info!(order.id = %payment.order_id(), refund.id = %refund_id, "refund done");
            Some(events::change(payment, expected_version, happened, now, self.ids.as_ref()))
        })
        .await
    }

    /// Writes that a refund could not be done yet.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub async fn refund_still_open(&self, payment: Payment, refund_id: RefundId) -> Result<Payment, RepositoryError> {
        self.write(payment, |payment| {
            let expected_version = payment.version();
            let mut payment = payment.clone();
            payment.postpone_refund(refund_id, self.clock.now(), &self.schedule).ok()?;
            Some(Change { payment, expected_version, entry: None, event: None })
        })
        .await
    }

    /// Saves what `decide` makes of the payment; reads it again and repeats as long as someone else was faster. `None` from
    /// `decide`: the payment is as it should be.
    async fn write(
        &self,
        mut payment: Payment,
        decide: impl Fn(&Payment) -> Option<Change> + Send + Sync,
    ) -> Result<Payment, RepositoryError> {
        for _ in 0..MAX_CONFLICTS {
            let Some(change) = decide(&payment) else {
                return Ok(payment);
            };
            let changed = change.payment.clone();
            match self.repository.save(change).await {
                Ok(()) => return Ok(changed),
                Err(RepositoryError::Conflict) => {
                    let order_id = payment.order_id();
                    // Payments are never deleted.
                    payment = self.repository.find_by_order(order_id).await?.ok_or(RepositoryError::Conflict)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(RepositoryError::Conflict)
    }
}

fn warn_of_contradiction(payment: &Payment, outcome: &ChargeOutcome) {
    let agrees = match outcome {
        ChargeOutcome::Captured { reference } => payment.provider_reference() == Some(reference),
        ChargeOutcome::Declined { .. } => payment.decline_reason().is_some(),
    };
    if !agrees {
        tracing::error!(order.id = %payment.order_id(), status = payment.status().as_str(), "the provider contradicts the outcome it gave before");
    }
}
