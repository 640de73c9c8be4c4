//! Payments in memory. For tests alone (docs/adr/0019): it shows what the port asks for with nothing underneath, and it must
//! pass the suite that the real stores pass.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::ids::{OrderId, RefundId};
use contracts::{Event, Timestamp};
use observability::Cause;
use payment::application::ports::{Change, Due, LedgerEntry, LedgerKind, PaymentRepository, RepositoryError};
use payment::domain::{Payment, Refund, RefundProgress};

#[derive(Default)]
pub(crate) struct InMemoryPaymentRepository(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    payments: BTreeMap<OrderId, Payment>,
    causes: BTreeMap<OrderId, Cause>,
    refunds: BTreeMap<RefundId, OrderId>,
    ledger: Vec<LedgerEntry>,
    events: Vec<Event>,
}

impl Tables {
    /// Everything undecided, with its moment.
    fn undecided(&self) -> Vec<(Timestamp, Due)> {
        let mut due = Vec::new();
        for payment in self.payments.values() {
            let snapshot = payment.snapshot();
            due.extend(snapshot.next_check.map(|retry| (retry.due_at, Due::Charge(snapshot.order_id))));
            for refund in &snapshot.refunds {
                if let RefundProgress::Pending(retry) = refund.progress() {
                    due.push((retry.due_at, Due::Refund(snapshot.order_id, refund.id())));
                }
            }
        }
        due.sort_by_key(|(due_at, _)| *due_at);
        due
    }
}

#[async_trait]
impl PaymentRepository for InMemoryPaymentRepository {
    async fn open(&self, payment: &Payment) -> Result<Option<Payment>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        if let Some(found) = tables.payments.get(&payment.order_id()) {
            return Ok(Some(found.clone()));
        }
        tables.payments.insert(payment.order_id(), payment.clone());
        tables.causes.extend(Cause::current().map(|cause| (payment.order_id(), cause)));
        Ok(None)
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        Ok(self.0.lock().unwrap().causes.get(&order_id).cloned())
    }

    async fn find_by_order(&self, order_id: OrderId) -> Result<Option<Payment>, RepositoryError> {
        Ok(self.0.lock().unwrap().payments.get(&order_id).cloned())
    }

    async fn find_order_of_refund(&self, refund_id: RefundId) -> Result<Option<OrderId>, RepositoryError> {
        Ok(self.0.lock().unwrap().refunds.get(&refund_id).copied())
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let order_id = change.payment.order_id();
        let is_fresh = tables.payments.get(&order_id).is_some_and(|stored| stored.version() == change.expected_version);
        let refunds: Vec<RefundId> = change.payment.snapshot().refunds.iter().map(Refund::id).collect();
        let are_its_own = refunds.iter().all(|id| tables.refunds.get(id).is_none_or(|owner| *owner == order_id));
        let is_new = |entry: &LedgerEntry| match entry.kind {
            LedgerKind::Capture => {
                !tables.ledger.iter().any(|kept| (kept.order_id, kept.kind) == (order_id, LedgerKind::Capture))
            }
            refund @ LedgerKind::Refund(_) => !tables.ledger.iter().any(|kept| kept.kind == refund),
        };
        if !is_fresh || !are_its_own || !change.entry.as_ref().is_none_or(is_new) {
            return Err(RepositoryError::Conflict);
        }
        tables.payments.insert(order_id, change.payment);
        tables.refunds.extend(refunds.into_iter().map(|id| (id, order_id)));
        tables.ledger.extend(change.entry);
        tables.events.extend(change.event);
        Ok(())
    }

    async fn list_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, RepositoryError> {
        let due = self.0.lock().unwrap().undecided().into_iter();
        Ok(due.filter(|(due_at, _)| *due_at <= now).map(|(_, due)| due).take(limit).collect())
    }

    async fn find_next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        Ok(self.0.lock().unwrap().undecided().first().map(|(due_at, _)| *due_at))
    }

    async fn list_ledger(&self, order_id: OrderId) -> Result<Vec<LedgerEntry>, RepositoryError> {
        let ledger = &self.0.lock().unwrap().ledger;
        Ok(ledger.iter().filter(|entry| entry.order_id == order_id).cloned().collect())
    }
}
