//! What an audit reads of orders in PostgreSQL.

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::OrderId;
use messaging::postgres::sql::{Row as _, query, query_scalar};
use messaging::postgres::{InvalidPostgresUrl, ReadOnlyDatabase, read_only};
use uuid::Uuid;

use super::audit_rows::{AuditedRow, add_events};
use crate::application::audit::{LoggedEvent, OrderAudit, OrderFacts};
use crate::application::ports::RepositoryError;

/// [`OrderAudit`] of one schema.
pub struct PostgresOrderAudit(ReadOnlyDatabase);

impl PostgresOrderAudit {
    /// The orders at `url`; nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self(ReadOnlyDatabase::new(url, "souk-reconcile")?))
    }

    async fn orders(&self, span: Span, limit: usize) -> Result<Page<OrderFacts>, RepositoryError> {
        let mut transaction = self.0.begin().await?;
        let rows = query(
            "SELECT o.id, o.status, o.version, o.body, s.state, s.attempts, s.due_at
             FROM orders o LEFT JOIN sagas s ON s.order_id = o.id
             WHERE o.id > $1 AND o.id <= $2 ORDER BY o.id LIMIT $3",
        )
        .bind(span.after)
        .bind(span.until)
        .bind(limit as i64)
        .fetch_all(&mut *transaction)
        .await?;
        let mut orders = Vec::with_capacity(rows.len());
        for row in rows {
            let row = AuditedRow {
                order_id: OrderId::from_uuid(row.try_get(0)?),
                status: row.try_get(1)?,
                version: row.try_get(2)?,
                body: row.try_get(3)?,
                state: row.try_get(4)?,
                attempts: row.try_get(5)?,
                due_at: row.try_get(6)?,
            };
            orders.push(row.into_facts()?);
        }
        let subjects: Vec<String> = orders.iter().map(|order| order.order_id.to_string()).collect();
        let rows = query(
            "SELECT subject, type, aggregate_version FROM events WHERE subject = ANY ($1) ORDER BY subject, position",
        )
        .bind(subjects)
        .fetch_all(&mut *transaction)
        .await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let subject: String = row.try_get(0)?;
            let order_id =
                subject.parse().map_err(|_| RepositoryError::Corrupt { table: "events", row: subject.clone() })?;
            let version = row.try_get::<i64, _>(2)?.unsigned_abs();
            events.push((order_id, LoggedEvent { event_type: row.try_get(1)?, version }));
        }
        add_events(&mut orders, events);
        Ok(Page::of(orders, span, limit, |order| order.order_id.as_uuid()))
    }
}

#[async_trait]
impl OrderAudit for PostgresOrderAudit {
    async fn list_orders(&self, span: Span, limit: usize) -> Result<Page<OrderFacts>, RepositoryError> {
        self.0.within_time(self.orders(span, limit)).await
    }

    async fn list_keys(&self, span: Span) -> Result<Vec<(OrderId, String)>, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            let rows = query(
                "SELECT order_id, key FROM idempotency_keys WHERE order_id > $1 AND order_id <= $2 ORDER BY order_id",
            )
            .bind(span.after)
            .bind(span.until)
            .fetch_all(&mut *transaction)
            .await?;
            rows.iter()
                .map(|row| Ok((OrderId::from_uuid(row.try_get::<Uuid, _>(0)?), row.try_get(1)?)))
                .collect::<Result<_, RepositoryError>>()
        };
        self.0.within_time(read).await
    }

    async fn count_open_sagas(&self) -> Result<u64, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            let open: i64 =
                query_scalar("SELECT count(*) FROM sagas WHERE state <> 'done'").fetch_one(&mut *transaction).await?;
            Ok::<_, RepositoryError>(open.unsigned_abs())
        };
        self.0.within_time(read).await
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let read = async {
            let mut transaction = self.0.begin().await?;
            Ok::<_, RepositoryError>(read_only::backlog(&mut transaction).await?)
        };
        self.0.within_time(read).await
    }
}
