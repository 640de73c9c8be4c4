//! The books in PostgreSQL: for any number of replicas.

use async_trait::async_trait;
use contracts::ids::OrderId;
use contracts::{Money, Timestamp};
use messaging::postgres::sql::{self, PgRow, Row as _, query, query_scalar};
use messaging::postgres::{Database, InvalidPostgresUrl, Migration, StoreError};
use observability::db::{Fault, StoreFault};
use uuid::Uuid;

use super::{ChargeRow, NO_CHARGE, OTHER_CHARGE, OTHER_REFUND, SandboxBooks, TOO_MUCH};
use crate::application::ports::ProviderError;
use crate::domain::RefundInstruction;

const SCHEMA: &[Migration] = &[Migration {
    component: "sandbox",
    version: 1,
    sql: include_str!("../../../../migrations/postgres/sandbox_0001.sql"),
}];

/// The adapter. Clones share the pool.
#[derive(Clone)]
pub struct PostgresSandboxBooks {
    database: Database,
}

impl PostgresSandboxBooks {
    /// The books in the database at `url`, in the schema `sandbox` (`<schema>_sandbox` where the address itself names a
    /// schema); nothing is asked of the server until [`Database::prepare`] is called.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self { database: Database::in_schema(url, "souk-sandbox", "sandbox", SCHEMA)? })
    }

    /// The database: to be prepared.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// What the statements of this adapter fail with.
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

impl From<sql::Error> for Failure {
    fn from(error: sql::Error) -> Self {
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
impl SandboxBooks for PostgresSandboxBooks {
    async fn record_charge(&self, new: ChargeRow) -> Result<ChargeRow, ProviderError> {
        let recording = async {
            // A conflicting row is waited for, and of one that differs nothing is changed nor returned.
            let recorded = query(
                "INSERT INTO charges AS c (idempotency_key, reference, amount_minor, currency, method, outcome,
                     decline_reason, times_asked, asked_at, settle_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9)
                 ON CONFLICT (idempotency_key) DO UPDATE SET times_asked = c.times_asked + 1
                     WHERE (c.amount_minor, c.currency, c.method) = (excluded.amount_minor, excluded.currency, excluded.method)
                 RETURNING idempotency_key, reference, amount_minor, currency, method, decline_reason, asked_at, settle_at",
            )
            .bind(new.idempotency_key.as_uuid())
            .bind(&new.reference)
            .bind(new.amount.amount_minor())
            .bind(new.amount.currency().as_str())
            .bind(&new.method)
            .bind(new.outcome_name())
            .bind(&new.decline_reason)
            .bind(new.asked_at.unix_ms())
            .bind(new.settle_at.unix_ms())
            .fetch_optional(&mut *self.database.acquire().await?)
            .await?;
            charge(&recorded.ok_or(Failure::Refused(OTHER_CHARGE))?)
        };
        self.database.within_time("record charge", recording).await.map_err(ProviderError::from)
    }

    async fn find_charge(&self, key: OrderId) -> Result<Option<ChargeRow>, ProviderError> {
        let finding = async {
            let found = query(
                "SELECT idempotency_key, reference, amount_minor, currency, method, decline_reason, asked_at, settle_at
                 FROM charges WHERE idempotency_key = $1",
            )
            .bind(key.as_uuid())
            .fetch_optional(&mut *self.database.acquire().await?)
            .await?;
            found.map(|row| charge(&row)).transpose()
        };
        self.database.within_time("find charge", finding).await.map_err(ProviderError::from)
    }

    async fn record_refund(&self, refund: RefundInstruction, now: Timestamp) -> Result<(), ProviderError> {
        let recording = async { self.try_record_refund(&refund, now).await };
        self.database.within_time("record refund", recording).await.map_err(ProviderError::from)
    }

    async fn ping(&self) -> Result<(), ProviderError> {
        self.database.ping().await.map_err(|error| Failure::Store(error).into())
    }
}

impl PostgresSandboxBooks {
    async fn try_record_refund(&self, refund: &RefundInstruction, now: Timestamp) -> Result<(), Failure> {
        let mut transaction = self.database.begin().await?;
        // Refunds of one charge come one after another, so that their sum is known; later statements see what was committed
        // before the lock was had.
        let charged = query(
            "SELECT amount_minor, currency FROM charges
             WHERE reference = $1 AND outcome = 'captured' AND settle_at <= $2 FOR UPDATE",
        )
        .bind(refund.reference.as_str())
        .bind(now.unix_ms())
        .fetch_optional(&mut *transaction)
        .await?;
        let asked_again = "UPDATE refunds SET times_asked = times_asked + 1 WHERE refund_id = $1
             RETURNING reference, amount_minor, currency";
        let earlier = query(asked_again).bind(refund.refund_id.as_uuid()).fetch_optional(&mut *transaction).await?;
        if let Some(row) = earlier {
            if (row.try_get::<String, _>(0)?.as_str(), amount(&row, 1)?) != (refund.reference.as_str(), refund.amount) {
                return Err(Failure::Refused(OTHER_REFUND));
            }
            transaction.commit().await?;
            return Ok(());
        }
        let charged = amount(&charged.ok_or(Failure::Refused(NO_CHARGE))?, 0)?;
        let refunded: i64 =
            query_scalar("SELECT coalesce(sum(amount_minor), 0)::bigint FROM refunds WHERE reference = $1")
                .bind(refund.reference.as_str())
                .fetch_one(&mut *transaction)
                .await?;
        let left = charged.amount_minor() - refunded;
        if charged.currency() != refund.amount.currency() || left < refund.amount.amount_minor() {
            return Err(Failure::Refused(TOO_MUCH));
        }
        let inserted = query(
            "INSERT INTO refunds (refund_id, reference, amount_minor, currency, times_asked, at)
             VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (refund_id) DO NOTHING",
        )
        .bind(refund.refund_id.as_uuid())
        .bind(refund.reference.as_str())
        .bind(refund.amount.amount_minor())
        .bind(refund.amount.currency().as_str())
        .bind(now.unix_ms())
        .execute(&mut *transaction)
        .await?;
        // Only a refund of another charge can have come in between.
        if inserted.rows_affected() == 0 {
            return Err(Failure::Refused(OTHER_REFUND));
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn charge(row: &PgRow) -> Result<ChargeRow, Failure> {
    Ok(ChargeRow {
        idempotency_key: OrderId::from_uuid(row.try_get::<Uuid, _>(0)?),
        reference: row.try_get(1)?,
        amount: amount(row, 2)?,
        method: row.try_get(4)?,
        decline_reason: row.try_get(5)?,
        asked_at: Timestamp::from_unix_ms(row.try_get(6)?),
        settle_at: Timestamp::from_unix_ms(row.try_get(7)?),
    })
}

/// The amount in this column and its currency in the next.
fn amount(row: &PgRow, column: usize) -> Result<Money, Failure> {
    let (minor, currency): (i64, String) = (row.try_get(column)?, row.try_get(column + 1)?);
    super::money(minor, &currency).map_err(|error| sql::Error::Decode(Box::new(error)).into())
}
