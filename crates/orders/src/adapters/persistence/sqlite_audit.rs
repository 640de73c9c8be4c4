//! What an audit reads of orders in SQLite.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;
use messaging::outbox;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl};

use super::audit_rows::{AuditedRow, add_events};
use super::sqlite_rows::parsed;
use crate::application::audit::{LoggedEvent, OrderAudit, OrderFacts};
use crate::application::ports::RepositoryError;

/// [`OrderAudit`] of one file.
pub struct SqliteOrderAudit(ReadOnlyDatabase);

impl SqliteOrderAudit {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self(ReadOnlyDatabase::open(url)?))
    }
}

#[async_trait]
impl OrderAudit for SqliteOrderAudit {
    async fn list_orders(&self, span: Span, limit: usize) -> Result<Page<OrderFacts>, RepositoryError> {
        self.0
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT o.id, o.status, o.version, o.body, s.state, s.attempts, s.due_at
                     FROM orders o LEFT JOIN sagas s ON s.order_id = o.id
                     WHERE o.id > ?1 AND o.id <= ?2 ORDER BY o.id LIMIT ?3",
                )?;
                let (after, until) = (span.after.to_string(), span.until.to_string());
                let rows = statement.query_map((&after, &until, limit as i64), |row| {
                    Ok(AuditedRow {
                        order_id: parsed(row, 0)?,
                        status: row.get(1)?,
                        version: row.get(2)?,
                        body: row.get(3)?,
                        state: row.get(4)?,
                        attempts: row.get(5)?,
                        due_at: row.get(6)?,
                    })
                })?;
                let mut orders = Vec::new();
                for row in rows {
                    orders.push(row?.into_facts()?);
                }
                if let Some(last) = orders.last() {
                    let mut events = connection.prepare_cached(
                        "SELECT subject, type, aggregate_version FROM events
                         WHERE subject > ?1 AND subject <= ?2 ORDER BY subject, position",
                    )?;
                    let rows = events.query_map((&after, last.order_id.to_string()), |row| {
                        let event =
                            LoggedEvent { event_type: row.get(1)?, version: row.get::<_, i64>(2)?.unsigned_abs() };
                        Ok((parsed::<OrderId>(row, 0)?, event))
                    })?;
                    add_events(&mut orders, rows.collect::<Result<Vec<_>, _>>()?);
                }
                Ok(Page::of(orders, span, limit, |order: &OrderFacts| order.order_id.as_uuid()))
            })
            .await
    }

    async fn list_keys(&self, span: Span) -> Result<Vec<(OrderId, String)>, RepositoryError> {
        self.0
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT order_id, key FROM idempotency_keys WHERE order_id > ?1 AND order_id <= ?2 ORDER BY order_id",
                )?;
                let rows = statement.query_map((span.after.to_string(), span.until.to_string()), |row| {
                    Ok((parsed::<OrderId>(row, 0)?, row.get(1)?))
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn count_open_sagas(&self) -> Result<u64, RepositoryError> {
        self.0
            .read(|connection| {
                let open: i64 = connection
                    .prepare_cached("SELECT count(*) FROM sagas WHERE state <> 'done'")?
                    .query_row([], |row| row.get(0))?;
                Ok(open.unsigned_abs())
            })
            .await
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        self.0.read(|connection| Ok(outbox::backlog(connection)?)).await
    }
}
