//! Rows of the payment database and what they stand for.

use std::fmt::Display;
use std::str::FromStr;

use contracts::ids::OrderId;
use contracts::money::Currency;
use contracts::{Money, Timestamp};
use observability::Cause;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::sqlite_failure::{Failure, InvalidRow};
use crate::application::ports::{LedgerEntry, LedgerKind};
use crate::domain::{Payment, PaymentSnapshot, PaymentStatus, ProviderReference, Refund, RefundProgress, Retry};

/// Parses a text of a row.
pub(super) fn parse<T: FromStr>(table: &'static str, row: impl Display, text: &str) -> Result<T, InvalidRow> {
    text.parse().map_err(|_| InvalidRow::new(table, row))
}

/// Versions and counts begin at 1 and grow by 1: they never reach 2^63.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a new payment; `false` if the order has one.
pub(super) fn insert_payment(
    connection: &Connection,
    payment: &PaymentSnapshot,
    cause: Option<&Cause>,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO payments (order_id, id, user_id, status, amount_minor, refunded_minor, currency, method,
                 version, looks, next_check_at, created_at, updated_at, request_id, traceparent)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (order_id) DO NOTHING",
        )?
        .execute((
            payment.order_id.to_string(),
            payment.id.to_string(),
            payment.user_id.to_string(),
            payment.status.as_str(),
            payment.amount.amount_minor(),
            payment.amount.currency().as_str(),
            payment.method.as_str(),
            integer(payment.version),
            payment.next_check.map_or(0, |retry| retry.looks),
            payment.next_check.map(|retry| retry.due_at.unix_ms()),
            payment.created_at.unix_ms(),
            payment.updated_at.unix_ms(),
            cause.map(|cause| cause.request_id.as_str()),
            cause.and_then(|cause| cause.traceparent.as_deref()),
        ))?;
    Ok(inserted == 1)
}

/// Writes what can change of a payment; `false` if its version is not the expected one.
pub(super) fn update_payment(
    connection: &Connection,
    payment: &PaymentSnapshot,
    expected_version: u64,
) -> rusqlite::Result<bool> {
    let refunded: i64 =
        payment.refunds.iter().filter(|refund| refund.is_done()).map(|refund| refund.amount().amount_minor()).sum();
    let updated = connection
        .prepare_cached(
            "UPDATE payments SET status = ?3, refunded_minor = ?4, provider_reference = ?5, decline_reason = ?6,
                 version = ?7, looks = ?8, next_check_at = ?9, updated_at = ?10
             WHERE order_id = ?1 AND version = ?2",
        )?
        .execute((
            payment.order_id.to_string(),
            integer(expected_version),
            payment.status.as_str(),
            refunded,
            payment.reference.as_ref().map(ProviderReference::as_str),
            payment.decline_reason.as_deref(),
            integer(payment.version),
            payment.next_check.map_or(0, |retry| retry.looks),
            payment.next_check.map(|retry| retry.due_at.unix_ms()),
            payment.updated_at.unix_ms(),
        ))?;
    Ok(updated == 1)
}

/// Writes a refund; `false` if its id belongs to another order.
pub(super) fn upsert_refund(
    connection: &Connection,
    order_id: OrderId,
    position: usize,
    refund: &Refund,
) -> rusqlite::Result<bool> {
    let (looks, next_attempt_at) = match refund.progress() {
        RefundProgress::Pending(retry) => (retry.looks, Some(retry.due_at.unix_ms())),
        RefundProgress::Done => (0, None),
    };
    let written = connection
        .prepare_cached(
            "INSERT INTO refunds (id, order_id, position, amount_minor, currency, reason, looks, next_attempt_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET looks = excluded.looks, next_attempt_at = excluded.next_attempt_at
             WHERE order_id = excluded.order_id",
        )?
        .execute((
            refund.id().to_string(),
            order_id.to_string(),
            position as i64,
            refund.amount().amount_minor(),
            refund.amount().currency().as_str(),
            refund.reason(),
            looks,
            next_attempt_at,
        ))?;
    Ok(written == 1)
}

/// Writes a movement of money.
pub(super) fn insert_entry(connection: &Connection, entry: &LedgerEntry) -> rusqlite::Result<()> {
    let (kind, refund_id) = match entry.kind {
        LedgerKind::Capture => ("capture", None),
        LedgerKind::Refund(id) => ("refund", Some(id.to_string())),
    };
    connection
        .prepare_cached(
            "INSERT INTO ledger (id, order_id, kind, refund_id, amount_minor, currency, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            entry.id.to_string(),
            entry.order_id.to_string(),
            kind,
            refund_id,
            entry.amount.amount_minor(),
            entry.amount.currency().as_str(),
            entry.at.unix_ms(),
        ))?;
    Ok(())
}

/// The payment of an order with its refunds.
pub(super) fn find_payment(connection: &Connection, order_id: OrderId) -> Result<Option<Payment>, Failure> {
    let found = connection
        .prepare_cached(
            "SELECT id, user_id, status, amount_minor, currency, method, provider_reference, decline_reason, version,
                 looks, next_check_at, created_at, updated_at
             FROM payments WHERE order_id = ?1",
        )?
        .query_row([order_id.to_string()], PaymentRow::read)
        .optional()?;
    let Some(row) = found else {
        return Ok(None);
    };
    let refunds = find_refunds(connection, order_id)?;
    let snapshot = row.interpret(order_id, refunds)?;
    Ok(Some(Payment::restore(snapshot).map_err(|_| InvalidRow::new("payments", order_id))?))
}

struct PaymentRow {
    id: String,
    user_id: String,
    status: String,
    amount_minor: i64,
    currency: String,
    method: String,
    reference: Option<String>,
    decline_reason: Option<String>,
    version: i64,
    looks: u32,
    next_check_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl PaymentRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            user_id: row.get(1)?,
            status: row.get(2)?,
            amount_minor: row.get(3)?,
            currency: row.get(4)?,
            method: row.get(5)?,
            reference: row.get(6)?,
            decline_reason: row.get(7)?,
            version: row.get(8)?,
            looks: row.get(9)?,
            next_check_at: row.get(10)?,
            created_at: row.get(11)?,
            updated_at: row.get(12)?,
        })
    }

    fn interpret(self, order_id: OrderId, refunds: Vec<Refund>) -> Result<PaymentSnapshot, InvalidRow> {
        let invalid = || InvalidRow::new("payments", order_id);
        Ok(PaymentSnapshot {
            id: parse("payments", order_id, &self.id)?,
            order_id,
            user_id: parse("payments", order_id, &self.user_id)?,
            amount: money("payments", order_id, self.amount_minor, &self.currency)?,
            method: parse("payments", order_id, &self.method)?,
            status: PaymentStatus::find(&self.status).ok_or_else(invalid)?,
            reference: self.reference.map(|text| parse("payments", order_id, &text)).transpose()?,
            decline_reason: self.decline_reason,
            next_check: self
                .next_check_at
                .map(|due_at| Retry { looks: self.looks, due_at: Timestamp::from_unix_ms(due_at) }),
            refunds,
            version: u64::try_from(self.version).map_err(|_| invalid())?,
            created_at: Timestamp::from_unix_ms(self.created_at),
            updated_at: Timestamp::from_unix_ms(self.updated_at),
        })
    }
}

fn find_refunds(connection: &Connection, order_id: OrderId) -> Result<Vec<Refund>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id, amount_minor, currency, reason, looks, next_attempt_at FROM refunds WHERE order_id = ?1 ORDER BY position",
    )?;
    let mut found = statement.query([order_id.to_string()])?;
    let mut refunds = Vec::new();
    while let Some(row) = found.next()? {
        let id: String = row.get(0)?;
        let amount = money("refunds", &id, row.get(1)?, &row.get::<_, String>(2)?)?;
        let amount = amount.try_into().map_err(|_| InvalidRow::new("refunds", &id))?;
        let looks = row.get(4)?;
        let progress = row.get::<_, Option<i64>>(5)?.map_or(RefundProgress::Done, |due_at| {
            RefundProgress::Pending(Retry { looks, due_at: Timestamp::from_unix_ms(due_at) })
        });
        refunds.push(Refund::restore(parse("refunds", &id, &id)?, amount, row.get(3)?, progress));
    }
    Ok(refunds)
}

/// The movements of an order's money, oldest first.
pub(super) fn list_entries(connection: &Connection, order_id: OrderId) -> Result<Vec<LedgerEntry>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id, refund_id, amount_minor, currency, at FROM ledger WHERE order_id = ?1 ORDER BY at, id",
    )?;
    let mut found = statement.query([order_id.to_string()])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let id: String = row.get(0)?;
        let refund_id: Option<String> = row.get(1)?;
        entries.push(LedgerEntry {
            id: parse("ledger", &id, &id)?,
            order_id,
            kind: match refund_id {
                None => LedgerKind::Capture,
                Some(refund_id) => LedgerKind::Refund(parse("ledger", &id, &refund_id)?),
            },
            amount: money("ledger", &id, row.get(2)?, &row.get::<_, String>(3)?)?,
            at: Timestamp::from_unix_ms(row.get(4)?),
        });
    }
    Ok(entries)
}

fn money(table: &'static str, row: impl Display, amount_minor: i64, currency: &str) -> Result<Money, InvalidRow> {
    Currency::parse(currency)
        .and_then(|currency| Money::new(amount_minor, currency))
        .map_err(|_| InvalidRow::new(table, row))
}
