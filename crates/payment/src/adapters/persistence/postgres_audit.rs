//! What an audit reads of payments, and of the sandbox's books, in PostgreSQL.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;
use messaging::postgres::sql::{PgRow, Row as _, query, query_scalar};
use messaging::postgres::{InvalidPostgresUrl, ReadOnlyDatabase, read_only};

use super::audit_rows::{CHARGES, ChargeRow, PAYMENTS, PaymentRow, REFUNDS_DUE, REPEATED, UNDECIDED};
use crate::application::audit::{ChargeFacts, PaymentAudit, PaymentFacts, ProviderAudit};
use crate::application::ports::RepositoryError;

/// What operators of the server see.
const APPLICATION: &str = "souk-reconcile";

/// [`PaymentAudit`] and [`ProviderAudit`], each of its own schema.
pub struct PostgresAudit(ReadOnlyDatabase);

impl PostgresAudit {
    /// The payments at `url`; nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn payments(url: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self(ReadOnlyDatabase::new(url, APPLICATION)?))
    }

    /// The sandbox's books at `url`, which are in a schema of their own; nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn sandbox(url: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self(ReadOnlyDatabase::in_schema(url, APPLICATION, "sandbox")?))
    }

    async fn list(&self, sql: &'static str, span: Span, limit: usize) -> Result<Vec<PgRow>, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            let listing = query(sql).bind(span.after).bind(span.until).bind(limit as i64);
            Ok::<_, RepositoryError>(listing.fetch_all(&mut *transaction).await?)
        };
        self.0.within_time(read).await
    }

    async fn count(&self, sql: &'static str) -> Result<u64, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            let count: i64 = query_scalar(sql).fetch_one(&mut *transaction).await?;
            Ok::<_, RepositoryError>(count.unsigned_abs())
        };
        self.0.within_time(read).await
    }
}

#[async_trait]
impl PaymentAudit for PostgresAudit {
    async fn list_payments(&self, span: Span, limit: usize) -> Result<Page<PaymentFacts>, RepositoryError> {
        let mut payments = Vec::new();
        for row in self.list(PAYMENTS, span, limit).await? {
            let row = PaymentRow {
                order_id: OrderId::from_uuid(row.try_get(0)?),
                status: row.try_get(1)?,
                amount_minor: row.try_get(2)?,
                currency: row.try_get(3)?,
                refunded_minor: row.try_get(4)?,
                next_check_at: row.try_get(5)?,
                updated_at: row.try_get(6)?,
                captures: row.try_get(7)?,
                captured_minor: row.try_get(8)?,
                ledger_refunded_minor: row.try_get(9)?,
                refunds_due: row.try_get(10)?,
            };
            payments.push(row.into_facts()?);
        }
        Ok(Page::of(payments, span, limit, |payment: &PaymentFacts| payment.order_id.as_uuid()))
    }

    async fn count_undecided(&self) -> Result<u64, RepositoryError> {
        self.count(UNDECIDED).await
    }

    async fn count_refunds_due(&self) -> Result<u64, RepositoryError> {
        self.count(REFUNDS_DUE).await
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            Ok::<_, RepositoryError>(read_only::backlog(&mut transaction).await?)
        };
        self.0.within_time(read).await
    }
}

#[async_trait]
impl ProviderAudit for PostgresAudit {
    async fn list_charges(&self, span: Span, limit: usize) -> Result<Page<ChargeFacts>, RepositoryError> {
        let mut charges = Vec::new();
        for row in self.list(CHARGES, span, limit).await? {
            let row = ChargeRow {
                order_id: OrderId::from_uuid(row.try_get(0)?),
                outcome: row.try_get(1)?,
                amount_minor: row.try_get(2)?,
                currency: row.try_get(3)?,
                settle_at: row.try_get(4)?,
                times_asked: row.try_get(5)?,
                refunded_minor: row.try_get(6)?,
            };
            charges.push(row.into_facts()?);
        }
        Ok(Page::of(charges, span, limit, |charge: &ChargeFacts| charge.order_id.as_uuid()))
    }

    async fn count_repeated_charges(&self) -> Result<u64, RepositoryError> {
        self.count(REPEATED).await
    }
}
