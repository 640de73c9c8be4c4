//! Rows of the PostgreSQL store and what they stand for.

use std::fmt::Display;
use std::str::FromStr;

use contracts::ids::{OrderId, PaymentId, RefundId, UserId};
use contracts::money::Currency;
use contracts::{Money, Timestamp};
use messaging::postgres::sql::{PgConnection, PgRow, Row as _, query};
use observability::Cause;
use uuid::Uuid;

use super::postgres_failure::corrupt;
use crate::application::ports::{LedgerEntry, LedgerKind, RepositoryError};
use crate::domain::{Payment, PaymentSnapshot, PaymentStatus, ProviderReference, Refund, RefundProgress, Retry};

/// Versions begin at 1 and grow by 1: they never reach 2^63.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a new payment; `false` if the order has one. Waits for a transaction that is about to write it.
pub(super) async fn insert_payment(
    connection: &mut PgConnection,
    payment: &PaymentSnapshot,
    cause: Option<&Cause>,
) -> Result<bool, RepositoryError> {
    let inserted = query(
        "INSERT INTO payments (order_id, id, user_id, status, amount_minor, refunded_minor, currency, method, version,
             looks, next_check_at, created_at, updated_at, request_id, traceparent)
         VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(payment.order_id.as_uuid())
    .bind(payment.id.as_uuid())
    .bind(payment.user_id.as_uuid())
    .bind(payment.status.as_str())
    .bind(payment.amount.amount_minor())
    .bind(payment.amount.currency().as_str())
    .bind(payment.method.as_str())
    .bind(integer(payment.version))
    .bind(payment.next_check.map_or(0, |retry| i64::from(retry.looks)))
    .bind(payment.next_check.map(|retry| retry.due_at.unix_ms()))
    .bind(payment.created_at.unix_ms())
    .bind(payment.updated_at.unix_ms())
    .bind(cause.map(|cause| cause.request_id.as_str()))
    .bind(cause.and_then(|cause| cause.traceparent.as_deref()))
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what can change of a payment.
///
/// # Errors
/// [`RepositoryError::Conflict`] if its version is not the expected one.
pub(super) async fn update_payment(
    connection: &mut PgConnection,
    payment: &PaymentSnapshot,
    expected_version: u64,
) -> Result<(), RepositoryError> {
    let refunded: i64 =
        payment.refunds.iter().filter(|refund| refund.is_done()).map(|refund| refund.amount().amount_minor()).sum();
    let updated = query(
        "UPDATE payments SET status = $3, refunded_minor = $4, provider_reference = $5, decline_reason = $6, version = $7,
             looks = $8, next_check_at = $9, updated_at = $10
         WHERE order_id = $1 AND version = $2",
    )
    .bind(payment.order_id.as_uuid())
    .bind(integer(expected_version))
    .bind(payment.status.as_str())
    .bind(refunded)
    .bind(payment.reference.as_ref().map(ProviderReference::as_str))
    .bind(payment.decline_reason.as_deref())
    .bind(integer(payment.version))
    .bind(payment.next_check.map_or(0, |retry| i64::from(retry.looks)))
    .bind(payment.next_check.map(|retry| retry.due_at.unix_ms()))
    .bind(payment.updated_at.unix_ms())
    .execute(connection)
    .await?;
    if updated.rows_affected() == 1 { Ok(()) } else { Err(RepositoryError::Conflict) }
}

/// Writes a refund.
///
/// # Errors
/// [`RepositoryError::Conflict`] if its id belongs to another order.
pub(super) async fn upsert_refund(
    connection: &mut PgConnection,
    order_id: OrderId,
    position: usize,
    refund: &Refund,
) -> Result<(), RepositoryError> {
    let (looks, next_attempt_at) = match refund.progress() {
        RefundProgress::Pending(retry) => (retry.looks, Some(retry.due_at.unix_ms())),
        RefundProgress::Done => (0, None),
    };
    let written = query(
        "INSERT INTO refunds AS stored (id, order_id, position, amount_minor, currency, reason, looks, next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET looks = excluded.looks, next_attempt_at = excluded.next_attempt_at
         WHERE stored.order_id = excluded.order_id",
    )
    .bind(refund.id().as_uuid())
    .bind(order_id.as_uuid())
    .bind(position as i64)
    .bind(refund.amount().amount_minor())
    .bind(refund.amount().currency().as_str())
    .bind(refund.reason())
    .bind(i64::from(looks))
    .bind(next_attempt_at)
    .execute(connection)
    .await?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(RepositoryError::Conflict) }
}

/// Writes a movement of money.
pub(super) async fn insert_entry(connection: &mut PgConnection, entry: &LedgerEntry) -> Result<(), RepositoryError> {
    let (kind, refund_id) = match entry.kind {
        LedgerKind::Capture => ("capture", None),
        LedgerKind::Refund(id) => ("refund", Some(id.as_uuid())),
    };
    query(
        "INSERT INTO ledger (id, order_id, kind, refund_id, amount_minor, currency, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(entry.id)
    .bind(entry.order_id.as_uuid())
    .bind(kind)
    .bind(refund_id)
    .bind(entry.amount.amount_minor())
    .bind(entry.amount.currency().as_str())
    .bind(entry.at.unix_ms())
    .execute(connection)
    .await?;
    Ok(())
}

/// The payment of an order with its refunds, as of one moment: one row for each refund, or one without.
pub(super) async fn find_payment(
    connection: &mut PgConnection,
    order_id: OrderId,
) -> Result<Option<Payment>, RepositoryError> {
    let rows = query(
        "SELECT p.id, user_id, status, p.amount_minor, p.currency, method, provider_reference, decline_reason, version,
             p.looks, next_check_at, created_at, updated_at, r.id AS refund_id, r.amount_minor AS refund_minor,
             r.currency AS refund_currency, r.reason AS refund_reason, r.looks AS refund_looks, r.next_attempt_at
         FROM payments p LEFT JOIN refunds r ON r.order_id = p.order_id
         WHERE p.order_id = $1 ORDER BY r.position",
    )
    .bind(order_id.as_uuid())
    .fetch_all(connection)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut snapshot = payment_of(first, order_id)?;
    for row in &rows {
        if let Some(id) = row.try_get::<Option<Uuid>, _>("refund_id")? {
            snapshot.refunds.push(refund_of(row, RefundId::from_uuid(id))?);
        }
    }
    Payment::restore(snapshot).map(Some).map_err(|_| corrupt("payments", order_id))
}

fn payment_of(row: &PgRow, order_id: OrderId) -> Result<PaymentSnapshot, RepositoryError> {
    let invalid = || corrupt("payments", order_id);
    let looks = u32::try_from(row.try_get::<i64, _>("looks")?).map_err(|_| invalid())?;
    let reference: Option<&str> = row.try_get("provider_reference")?;
    Ok(PaymentSnapshot {
        id: PaymentId::from_uuid(row.try_get("id")?),
        order_id,
        user_id: UserId::from_uuid(row.try_get("user_id")?),
        amount: money("payments", order_id, row.try_get("amount_minor")?, row.try_get("currency")?)?,
        method: parse("payments", order_id, row.try_get("method")?)?,
        status: PaymentStatus::find(row.try_get("status")?).ok_or_else(invalid)?,
        reference: reference.map(|text| parse("payments", order_id, text)).transpose()?,
        decline_reason: row.try_get("decline_reason")?,
        next_check: row
            .try_get::<Option<i64>, _>("next_check_at")?
            .map(|due_at| Retry { looks, due_at: Timestamp::from_unix_ms(due_at) }),
        refunds: Vec::new(),
        version: u64::try_from(row.try_get::<i64, _>("version")?).map_err(|_| invalid())?,
        created_at: Timestamp::from_unix_ms(row.try_get("created_at")?),
        updated_at: Timestamp::from_unix_ms(row.try_get("updated_at")?),
    })
}

fn refund_of(row: &PgRow, id: RefundId) -> Result<Refund, RepositoryError> {
    let invalid = || corrupt("refunds", id);
    let amount = money("refunds", id, row.try_get("refund_minor")?, row.try_get("refund_currency")?)?;
    let looks = u32::try_from(row.try_get::<i64, _>("refund_looks")?).map_err(|_| invalid())?;
    let progress = row.try_get::<Option<i64>, _>("next_attempt_at")?.map_or(RefundProgress::Done, |due_at| {
        RefundProgress::Pending(Retry { looks, due_at: Timestamp::from_unix_ms(due_at) })
    });
    Ok(Refund::restore(id, amount.try_into().map_err(|_| invalid())?, row.try_get("refund_reason")?, progress))
}

/// The movements of an order's money, oldest first.
pub(super) async fn list_entries(
    connection: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<LedgerEntry>, RepositoryError> {
    let rows =
        query("SELECT id, refund_id, amount_minor, currency, at FROM ledger WHERE order_id = $1 ORDER BY at, id")
            .bind(order_id.as_uuid())
            .fetch_all(connection)
            .await?;
    let entry = |row: &PgRow| {
        let id: Uuid = row.try_get(0)?;
        Ok(LedgerEntry {
            id,
            order_id,
            kind: match row.try_get::<Option<Uuid>, _>(1)? {
                None => LedgerKind::Capture,
                Some(refund_id) => LedgerKind::Refund(RefundId::from_uuid(refund_id)),
            },
            amount: money("ledger", id, row.try_get(2)?, row.try_get(3)?)?,
            at: Timestamp::from_unix_ms(row.try_get(4)?),
        })
    };
    rows.iter().map(entry).collect()
}

fn parse<T: FromStr>(table: &'static str, row: impl Display, text: &str) -> Result<T, RepositoryError> {
    text.parse().map_err(|_| corrupt(table, row))
}

fn money(table: &'static str, row: impl Display, amount_minor: i64, currency: &str) -> Result<Money, RepositoryError> {
    Currency::parse(currency).and_then(|currency| Money::new(amount_minor, currency)).map_err(|_| corrupt(table, row))
}
