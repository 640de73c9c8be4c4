//! What an audit asks of the tables, in words that SQLite and PostgreSQL both understand, and what the rows mean.

use contracts::ids::OrderId;
use contracts::money::Currency;
use contracts::{Money, Timestamp};

use crate::application::audit::{ChargeFacts, PaymentFacts};
use crate::application::ports::RepositoryError;

/// Payments of a span; parameters: after, until, limit.
pub(super) const PAYMENTS: &str = "SELECT p.order_id, p.status, p.amount_minor, p.currency, p.refunded_minor, p.next_check_at, p.updated_at,
     (SELECT count(*) FROM ledger l WHERE l.order_id = p.order_id AND l.kind = 'capture'),
     (SELECT CAST(coalesce(sum(l.amount_minor), 0) AS BIGINT) FROM ledger l WHERE l.order_id = p.order_id AND l.kind = 'capture'),
     (SELECT CAST(coalesce(sum(l.amount_minor), 0) AS BIGINT) FROM ledger l WHERE l.order_id = p.order_id AND l.kind = 'refund'),
     (SELECT count(*) FROM refunds r WHERE r.order_id = p.order_id AND r.next_attempt_at IS NOT NULL)
 FROM payments p WHERE p.order_id > $1 AND p.order_id <= $2 ORDER BY p.order_id LIMIT $3";

/// Charges of a span; parameters: after, until, limit.
pub(super) const CHARGES: &str =
    "SELECT c.idempotency_key, c.outcome, c.amount_minor, c.currency, c.settle_at, c.times_asked,
     (SELECT CAST(coalesce(sum(r.amount_minor), 0) AS BIGINT) FROM refunds r WHERE r.reference = c.reference)
 FROM charges c WHERE c.idempotency_key > $1 AND c.idempotency_key <= $2 ORDER BY c.idempotency_key LIMIT $3";

/// Payments whose outcome is not known.
pub(super) const UNDECIDED: &str = "SELECT count(*) FROM payments WHERE next_check_at IS NOT NULL";

/// Refunds that the provider has not confirmed.
pub(super) const REFUNDS_DUE: &str = "SELECT count(*) FROM refunds WHERE next_attempt_at IS NOT NULL";

/// Charges asked for again.
pub(super) const REPEATED: &str = "SELECT CAST(coalesce(sum(times_asked - 1), 0) AS BIGINT) FROM charges";

/// A row of [`PAYMENTS`].
pub(super) struct PaymentRow {
    pub(super) order_id: OrderId,
    pub(super) status: String,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) refunded_minor: i64,
    pub(super) next_check_at: Option<i64>,
    pub(super) updated_at: i64,
    pub(super) captures: i64,
    pub(super) captured_minor: i64,
    pub(super) ledger_refunded_minor: i64,
    pub(super) refunds_due: i64,
}

impl PaymentRow {
    pub(super) fn into_facts(self) -> Result<PaymentFacts, RepositoryError> {
        Ok(PaymentFacts {
            amount: money(self.amount_minor, &self.currency, "payments", self.order_id)?,
            order_id: self.order_id,
            status: self.status,
            refunded_minor: self.refunded_minor,
            next_check_at: self.next_check_at.map(Timestamp::from_unix_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at),
            captures: self.captures.unsigned_abs(),
            captured_minor: self.captured_minor,
            ledger_refunded_minor: self.ledger_refunded_minor,
            refunds_due: self.refunds_due.unsigned_abs(),
        })
    }
}

/// A row of [`CHARGES`].
pub(super) struct ChargeRow {
    pub(super) order_id: OrderId,
    pub(super) outcome: String,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) settle_at: i64,
    pub(super) times_asked: i64,
    pub(super) refunded_minor: i64,
}

impl ChargeRow {
    pub(super) fn into_facts(self) -> Result<ChargeFacts, RepositoryError> {
        Ok(ChargeFacts {
            amount: money(self.amount_minor, &self.currency, "charges", self.order_id)?,
            order_id: self.order_id,
            is_captured: self.outcome == "captured",
            refunded_minor: self.refunded_minor,
            settle_at: Timestamp::from_unix_ms(self.settle_at),
            times_asked: self.times_asked.unsigned_abs(),
        })
    }
}

fn money(minor: i64, currency: &str, table: &'static str, row: OrderId) -> Result<Money, RepositoryError> {
    Currency::parse(currency)
        .and_then(|currency| Money::new(minor, currency))
        .map_err(|_| RepositoryError::Corrupt { table, row: row.to_string() })
}
