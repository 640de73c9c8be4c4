//! The books in a SQLite file: for one process.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::OrderId;
use observability::db::{Fault, StoreFault};
use rusqlite::{Connection, OptionalExtension as _};
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

use super::{ChargeRow, NO_CHARGE, OTHER_CHARGE, OTHER_REFUND, SandboxBooks, TOO_MUCH};
use crate::application::ports::ProviderError;
use crate::domain::RefundInstruction;

const SCHEMA: &[Migration] = &[Migration {
    component: "sandbox",
    version: 1,
    sql: include_str!("../../../../migrations/sqlite/sandbox_0001.sql"),
}];

/// The adapter. Clones share the file.
#[derive(Clone)]
pub struct SqliteSandboxBooks {
    database: Database,
}

impl SqliteSandboxBooks {
    /// Opens the books, making them if need be.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(url, Durability::Full, SCHEMA)? })
    }
}

/// What the closures of this adapter fail with.
enum Failure {
    Refused(&'static str),
    Store(StoreError),
}

impl StoreFault for Failure {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Refused(_) => None,
            Self::Store(error) => error.fault(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Self::Refused(why.to_owned()),
            Failure::Store(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

#[async_trait]
impl SandboxBooks for SqliteSandboxBooks {
    async fn record_charge(&self, new: ChargeRow) -> Result<ChargeRow, ProviderError> {
        let recorded = self.database.write("record charge", move |connection| record_charge(connection, &new)).await;
        recorded.map_err(ProviderError::from)
    }

    async fn find_charge(&self, key: OrderId) -> Result<Option<ChargeRow>, ProviderError> {
        let found = self
            .database
            .read("find charge", move |connection| find_charge(connection, key).map_err(Failure::from))
            .await;
        found.map_err(ProviderError::from)
    }

    async fn record_refund(&self, refund: RefundInstruction, now: Timestamp) -> Result<(), ProviderError> {
        let recorded =
            self.database.write("record refund", move |connection| record_refund(connection, &refund, now)).await;
        recorded.map_err(ProviderError::from)
    }

    async fn ping(&self) -> Result<(), ProviderError> {
        self.database.ping().await.map_err(|error| Failure::Store(error).into())
    }
}

fn record_charge(connection: &Connection, new: &ChargeRow) -> Result<ChargeRow, Failure> {
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
            new.outcome_name(),
            &new.decline_reason,
            new.asked_at.unix_ms(),
            new.settle_at.unix_ms(),
        ))?;
    let recorded = find_charge(connection, new.idempotency_key)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if (recorded.amount, &recorded.method) != (new.amount, &new.method) {
        return Err(Failure::Refused(OTHER_CHARGE));
    }
    Ok(recorded)
}

fn find_charge(connection: &Connection, key: OrderId) -> rusqlite::Result<Option<ChargeRow>> {
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

fn record_refund(connection: &Connection, refund: &RefundInstruction, now: Timestamp) -> Result<(), Failure> {
    let (id, reference) = (refund.refund_id.to_string(), refund.reference.as_str());
    let earlier = connection
        .prepare_cached("SELECT reference, amount_minor, currency FROM refunds WHERE refund_id = ?1")?
        .query_row([&id], |row| Ok((row.get::<_, String>(0)?, money(row.get(1)?, &row.get::<_, String>(2)?)?)))
        .optional()?;
    if let Some((earlier_reference, amount)) = earlier {
        if (earlier_reference.as_str(), amount) != (reference, refund.amount) {
            return Err(Failure::Refused(OTHER_REFUND));
        }
        connection
            .prepare_cached("UPDATE refunds SET times_asked = times_asked + 1 WHERE refund_id = ?1")?
            .execute([&id])?;
        return Ok(());
    }
    let left = connection
        .prepare_cached(
            "SELECT amount_minor - (SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE refunds.reference = charges.reference),
                 currency
             FROM charges WHERE reference = ?1 AND outcome = 'captured' AND settle_at <= ?2",
        )?
        .query_row((reference, now.unix_ms()), |row| money(row.get(0)?, &row.get::<_, String>(1)?))
        .optional()?
        .ok_or(Failure::Refused(NO_CHARGE))?;
    if left.currency() != refund.amount.currency() || left.amount_minor() < refund.amount.amount_minor() {
        return Err(Failure::Refused(TOO_MUCH));
    }
    connection
        .prepare_cached(
            "INSERT INTO refunds (refund_id, reference, amount_minor, currency, times_asked, at)
             VALUES (?1, ?2, ?3, ?4, 1, ?5)",
        )?
        .execute((&id, reference, refund.amount.amount_minor(), refund.amount.currency().as_str(), now.unix_ms()))?;
    Ok(())
}

fn money(amount_minor: i64, currency: &str) -> rusqlite::Result<contracts::Money> {
    super::money(amount_minor, currency)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Integer, Box::new(error)))
}
