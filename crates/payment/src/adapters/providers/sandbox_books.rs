//! The sandbox's tables.

use contracts::ids::OrderId;
use contracts::money::Currency;
use contracts::{Money, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::sandbox::Failure;
use crate::application::ports::{ChargeOutcome, ProviderError};
use crate::domain::RefundInstruction;

/// A charge in the books.
#[derive(Clone, Debug)]
pub(super) struct ChargeRow {
    pub(super) idempotency_key: OrderId,
    pub(super) reference: String,
    pub(super) amount: Money,
    pub(super) method: String,
    /// Set if declined.
    pub(super) decline_reason: Option<String>,
    pub(super) asked_at: Timestamp,
    pub(super) settle_at: Timestamp,
}

impl ChargeRow {
    /// What it came to, or will.
    pub(super) fn outcome(&self) -> Result<ChargeOutcome, ProviderError> {
        if let Some(reason) = &self.decline_reason {
            return Ok(ChargeOutcome::Declined { reason: reason.clone() });
        }
        let reference = self
            .reference
            .parse()
            .map_err(|error| ProviderError::Refused(format!("the books are damaged: {error}")))?;
        Ok(ChargeOutcome::Captured { reference })
    }
}

/// Records a charge that is asked for, or that it was asked for again; returns it as it was asked for first.
pub(super) fn record_charge(connection: &Connection, new: &ChargeRow) -> Result<ChargeRow, Failure> {
    connection
        .prepare_cached(
            "INSERT INTO charges (idempotency_key, reference, amount_minor, currency, method, outcome, decline_reason,
                 times_asked, asked_at, settle_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9)
             ON CONFLICT (idempotency_key) DO UPDATE SET times_asked = times_asked + 1",
        )?
        .execute((
            new.idempotency_key.to_string(),
            &new.reference,
            new.amount.amount_minor(),
            new.amount.currency().as_str(),
            &new.method,
            if new.decline_reason.is_some() { "declined" } else { "captured" },
            &new.decline_reason,
            new.asked_at.unix_ms(),
            new.settle_at.unix_ms(),
        ))?;
    let recorded = find_charge(connection, new.idempotency_key)?
        .ok_or_else(|| Failure::Refused("the charge was not recorded".to_owned()))?;
    if (recorded.amount, &recorded.method) != (new.amount, &new.method) {
        return Err(Failure::Refused("the idempotency key was used with another amount or method".to_owned()));
    }
    Ok(recorded)
}

/// The charge with this key.
pub(super) fn find_charge(connection: &Connection, key: OrderId) -> rusqlite::Result<Option<ChargeRow>> {
    connection
        .prepare_cached(
            "SELECT reference, amount_minor, currency, method, decline_reason, asked_at, settle_at
             FROM charges WHERE idempotency_key = ?1",
        )?
        .query_row([key.to_string()], |row| {
            Ok(ChargeRow {
                idempotency_key: key,
                reference: row.get(0)?,
                amount: money(row.get(1)?, &row.get::<_, String>(2)?)?,
                method: row.get(3)?,
                decline_reason: row.get(4)?,
                asked_at: Timestamp::from_unix_ms(row.get(5)?),
                settle_at: Timestamp::from_unix_ms(row.get(6)?),
            })
        })
        .optional()
}

/// Records a refund, or that it was asked for again.
pub(super) fn record_refund(
    connection: &Connection,
    refund: &RefundInstruction,
    now: Timestamp,
) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::Refused(why.to_owned()));
    let (id, reference) = (refund.refund_id.to_string(), refund.reference.as_str());
    let earlier = connection
        .prepare_cached("SELECT reference, amount_minor, currency FROM refunds WHERE refund_id = ?1")?
        .query_row([&id], |row| Ok((row.get::<_, String>(0)?, money(row.get(1)?, &row.get::<_, String>(2)?)?)))
        .optional()?;
    if let Some((earlier_reference, amount)) = earlier {
        if (earlier_reference.as_str(), amount) != (reference, refund.amount) {
            return refused("the refund id was used for another refund");
        }
        connection
            .prepare_cached("UPDATE refunds SET times_asked = times_asked + 1 WHERE refund_id = ?1")?
            .execute([&id])?;
        return Ok(());
    }
    let charged = connection
        .prepare_cached(
            "SELECT amount_minor - (SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE refunds.reference = charges.reference),
                 currency
             FROM charges WHERE reference = ?1 AND outcome = 'captured' AND settle_at <= ?2",
        )?
        .query_row((reference, now.unix_ms()), |row| money(row.get(0)?, &row.get::<_, String>(1)?))
        .optional()?;
    let Some(left) = charged else {
        return refused("there is no such captured charge");
    };
    if left.currency() != refund.amount.currency() || left.amount_minor() < refund.amount.amount_minor() {
        return refused("the refund exceeds the charge");
    }
    connection
        .prepare_cached(
            "INSERT INTO refunds (refund_id, reference, amount_minor, currency, times_asked, at)
             VALUES (?1, ?2, ?3, ?4, 1, ?5)",
        )?
        .execute((&id, reference, refund.amount.amount_minor(), refund.amount.currency().as_str(), now.unix_ms()))?;
    Ok(())
}

fn money(amount_minor: i64, currency: &str) -> rusqlite::Result<Money> {
    Currency::parse(currency)
        .and_then(|currency| Money::new(amount_minor, currency))
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Integer, Box::new(error)))
}
