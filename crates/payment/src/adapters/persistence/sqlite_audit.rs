//! What an audit reads of payments, and of the sandbox's books, in SQLite.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;
use messaging::outbox;
use rusqlite::{Connection, Row};
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl, StoreError};

use super::audit_rows::{CHARGES, ChargeRow, PAYMENTS, PaymentRow, REFUNDS_DUE, REPEATED, UNDECIDED};
use super::sqlite_failure::Failure;
use crate::application::audit::{ChargeFacts, PaymentAudit, PaymentFacts, ProviderAudit};
use crate::application::ports::RepositoryError;

/// [`PaymentAudit`] and [`ProviderAudit`], each of its own file.
pub struct SqliteAudit(ReadOnlyDatabase);

impl SqliteAudit {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self(ReadOnlyDatabase::open(url)?))
    }

    async fn list<R: Send + 'static>(
        &self,
        sql: &'static str,
        span: Span,
        limit: usize,
        map: impl Fn(&Row<'_>) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<Vec<R>, RepositoryError> {
        let rows: Result<Vec<R>, Failure> = self
            .0
            .read(move |connection: &Connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let span = (span.after.to_string(), span.until.to_string(), limit as i64);
                let rows = statement.query_map(span, |row| map(row))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await;
        Ok(rows?)
    }

    async fn count(&self, sql: &'static str) -> Result<u64, RepositoryError> {
        let count: Result<i64, Failure> = self
            .0
            .read(move |connection: &Connection| Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
            .await;
        Ok(count?.unsigned_abs())
    }
}

fn order_id(row: &Row<'_>) -> rusqlite::Result<OrderId> {
    row.get_ref(0)?
        .as_str()?
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

#[async_trait]
impl PaymentAudit for SqliteAudit {
    async fn list_payments(&self, span: Span, limit: usize) -> Result<Page<PaymentFacts>, RepositoryError> {
        let rows = self.list(PAYMENTS, span, limit, |row| {
            Ok(PaymentRow {
                order_id: order_id(row)?,
                status: row.get(1)?,
                amount_minor: row.get(2)?,
                currency: row.get(3)?,
                refunded_minor: row.get(4)?,
                next_check_at: row.get(5)?,
                updated_at: row.get(6)?,
                captures: row.get(7)?,
                captured_minor: row.get(8)?,
                ledger_refunded_minor: row.get(9)?,
                refunds_due: row.get(10)?,
            })
        });
        let payments = rows.await?.into_iter().map(PaymentRow::into_facts).collect::<Result<_, _>>()?;
        Ok(Page::of(payments, span, limit, |payment: &PaymentFacts| payment.order_id.as_uuid()))
    }

    async fn count_undecided(&self) -> Result<u64, RepositoryError> {
        self.count(UNDECIDED).await
    }

    async fn count_refunds_due(&self) -> Result<u64, RepositoryError> {
        self.count(REFUNDS_DUE).await
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let backlog: Result<Backlog, StoreError> = self.0.read(|connection| Ok(outbox::backlog(connection)?)).await;
        backlog.map_err(|error| Failure::from(error).into())
    }
}

#[async_trait]
impl ProviderAudit for SqliteAudit {
    async fn list_charges(&self, span: Span, limit: usize) -> Result<Page<ChargeFacts>, RepositoryError> {
        let rows = self.list(CHARGES, span, limit, |row| {
            Ok(ChargeRow {
                order_id: order_id(row)?,
                outcome: row.get(1)?,
                amount_minor: row.get(2)?,
                currency: row.get(3)?,
                settle_at: row.get(4)?,
                times_asked: row.get(5)?,
                refunded_minor: row.get(6)?,
            })
        });
        let charges = rows.await?.into_iter().map(ChargeRow::into_facts).collect::<Result<_, _>>()?;
        Ok(Page::of(charges, span, limit, |charge: &ChargeFacts| charge.order_id.as_uuid()))
    }

    async fn count_repeated_charges(&self) -> Result<u64, RepositoryError> {
        self.count(REPEATED).await
    }
}
