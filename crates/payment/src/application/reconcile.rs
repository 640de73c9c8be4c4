//! Settles what was left undecided: charges without an answer, calls that died half-way, refunds that failed.

use std::sync::Arc;

use contracts::Timestamp;
use contracts::ids::{OrderId, RefundId};
use futures::StreamExt as _;
use observability::RequestContext;
use observability::logs::error_chain;
use observability::trace::{KeyValue, Span, SpanKind};

use super::charge::{ask, log_unanswered};
use super::outcomes::OutcomeRecorder;
use super::ports::{Due, FoundCharge, PaymentProvider, RepositoryError};
use super::refund::{RefundError, carry_out};

/// Most things looked at in one step.
const BATCH: usize = 64;
/// Most questions to the provider at once.
const CONCURRENCY: usize = 8;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Things looked at.
    pub looked_at: usize,
    /// Of these, how many the store could not read or write; they are still due.
    pub failed: usize,
    /// When the next thing is due.
    pub next_due_at: Option<Timestamp>,
}

/// Looks at what is due.
#[derive(Clone)]
pub struct ReconcilePayments {
    /// Who knows what became of charges.
    pub provider: Arc<dyn PaymentProvider>,
    /// Writes what it says.
    pub outcomes: OutcomeRecorder,
}

impl ReconcilePayments {
    /// Looks once at everything that is due (up to a batch): what the provider settled is written with its event; what it
    /// never heard of is asked for again with the same key; the rest is looked at later, ever more rarely.
    ///
    /// Idempotent; any number of replicas may do it at once, and it may be broken off anywhere.
    ///
    /// # Errors
    /// [`RepositoryError`] when it can't be told what is due.
    pub async fn execute(&self) -> Result<Reconciled, RepositoryError> {
        let repository = &self.outcomes.repository;
        let due = repository.list_due(self.outcomes.clock.now(), BATCH).await?;
        let looked_at = due.len();
        let failed = futures::stream::iter(due)
            .map(|due| self.look_at_for_its_request(due))
            .buffer_unordered(CONCURRENCY)
            .filter(|looked| std::future::ready(looked.is_err()))
            .count()
            .await;
        Ok(Reconciled { looked_at, failed, next_due_at: repository.find_next_due().await? })
    }

    /// What comes of it belongs to the request that opened the payment.
    async fn look_at_for_its_request(&self, due: Due) -> Result<(), ()> {
        let (Due::Charge(order_id) | Due::Refund(order_id, _)) = due;
        // Where the store can't tell, looking will fail, too, and say so.
        let cause = self.outcomes.repository.find_cause(order_id).await.unwrap_or_default();
        let context = cause.map_or_else(RequestContext::background, |cause| cause.context());
        let span = context
            .child(SpanKind::Internal, "payment.reconcile", || vec![KeyValue::new("order.id", order_id.to_string())]);
        let context = span.as_ref().map_or(&context, Span::context);
        context.clone().scope(self.look_at(due)).await
    }

    async fn look_at(&self, due: Due) -> Result<(), ()> {
        let (order_id, result) = match due {
            Due::Charge(order_id) => (order_id, self.look_at_charge(order_id).await),
            Due::Refund(order_id, refund_id) => (order_id, self.look_at_refund(order_id, refund_id).await),
        };
        result.map_err(|error| {
            tracing::error!(order.id = %order_id, error = error_chain(&error), "payment could not be reconciled");
        })
    }

    async fn look_at_charge(&self, order_id: OrderId) -> Result<(), RepositoryError> {
        let recorder = &self.outcomes;
        let Some(payment) = recorder.repository.find_by_order(order_id).await? else {
            return Ok(());
        };
        if payment.is_decided() {
            return Ok(());
        }
        match self.provider.find_charge(order_id).await {
            Ok(Some(FoundCharge::Settled(outcome))) => recorder.charge_settled(payment, &outcome).await?,
            Ok(Some(FoundCharge::Processing)) => recorder.charge_still_open(payment).await?,
            Ok(None) => ask(self.provider.as_ref(), recorder, payment).await?,
            Err(error) => {
                log_unanswered(&payment, self.provider.name(), &error);
                recorder.charge_still_open(payment).await?
            }
        };
        Ok(())
    }

    async fn look_at_refund(&self, order_id: OrderId, refund_id: RefundId) -> Result<(), RepositoryError> {
        let recorder = &self.outcomes;
        let Some(payment) = recorder.repository.find_by_order(order_id).await? else {
            return Ok(());
        };
        match carry_out(self.provider.as_ref(), recorder, payment, refund_id).await {
            // The provider's failure is logged and written; the refund is due again later.
            Ok(_) | Err(RefundError::Provider(_) | RefundError::Refused(_) | RefundError::NeverCharged) => Ok(()),
            Err(RefundError::Store(error)) => Err(error),
        }
    }
}
