//! Payments in PostgreSQL, for any number of replicas.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{OrderId, RefundId};
use messaging::postgres::sql::{PgRow, Row as _, query, query_scalar};
use messaging::postgres::{Database, InvalidPostgresUrl, Migration, PostgresOutbox, outbox};
use observability::Cause;
use uuid::Uuid;

use super::postgres_rows as rows;
use crate::application::ports::{Change, Due, LedgerEntry, PaymentRepository, RepositoryError};
use crate::domain::Payment;

const SCHEMA: &[Migration] = &[
    Migration { component: "payment", version: 1, sql: include_str!("../../../migrations/postgres/payment_0001.sql") },
    Migration { component: "payment", version: 2, sql: include_str!("../../../migrations/postgres/payment_0002.sql") },
    outbox::SCHEMA,
];

/// The adapter. Clones share the pool.
#[derive(Clone)]
pub struct PostgresPaymentRepository {
    database: Database,
}

impl PostgresPaymentRepository {
    /// The payments at `url`; nothing is asked of the server until [`Database::prepare`] is called.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self { database: Database::new(url, "souk-payment", SCHEMA)? })
    }

    /// The database: to be prepared, and for health checks.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What a relay publishes; each relay needs one of its own.
    pub fn outbox(&self) -> PostgresOutbox {
        PostgresOutbox::new(self.database.clone())
    }
}

#[async_trait]
impl PaymentRepository for PostgresPaymentRepository {
    async fn open(&self, payment: &Payment) -> Result<Option<Payment>, RepositoryError> {
        let (snapshot, cause) = (payment.snapshot(), Cause::current());
        let opening = async {
            let mut connection = self.database.acquire().await?;
            if rows::insert_payment(&mut connection, &snapshot, cause.as_ref()).await? {
                return Ok(None);
            }
            // Payments are never deleted: the one in the way is there.
            let found = rows::find_payment(&mut connection, snapshot.order_id).await?;
            found.map(Some).ok_or(RepositoryError::Conflict)
        };
        self.database.within_time("open payment", opening).await
    }

    async fn find_by_order(&self, order_id: OrderId) -> Result<Option<Payment>, RepositoryError> {
        let finding = async { rows::find_payment(&mut *self.database.acquire().await?, order_id).await };
        self.database.within_time("find payment", finding).await
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        let finding = async {
            let found = query("SELECT request_id, traceparent FROM payments WHERE order_id = $1")
                .bind(order_id.as_uuid())
                .fetch_optional(&mut *self.database.acquire().await?)
                .await?;
            let Some(row) = found else { return Ok(None) };
            let request_id: Option<String> = row.try_get(0)?;
            let traceparent = row.try_get(1)?;
            Ok(request_id.map(|request_id| Cause { request_id, traceparent }))
        };
        self.database.within_time("find cause of payment", finding).await
    }

    async fn find_order_of_refund(&self, refund_id: RefundId) -> Result<Option<OrderId>, RepositoryError> {
        let finding = async {
            let order_id: Option<Uuid> = query_scalar("SELECT order_id FROM refunds WHERE id = $1")
                .bind(refund_id.as_uuid())
                .fetch_optional(&mut *self.database.acquire().await?)
                .await?;
            Ok(order_id.map(OrderId::from_uuid))
        };
        self.database.within_time("find refund", finding).await
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let Change { payment, expected_version, entry, event } = change;
        let snapshot = payment.snapshot();
        let saving = async {
            let mut transaction = self.database.begin().await?;
            rows::update_payment(&mut transaction, &snapshot, expected_version).await?;
            for (position, refund) in snapshot.refunds.iter().enumerate() {
                rows::upsert_refund(&mut transaction, snapshot.order_id, position, refund).await?;
            }
            if let Some(entry) = &entry {
                rows::insert_entry(&mut transaction, entry).await?;
            }
            if let Some(event) = &event {
                outbox::append(&mut transaction, event).await?;
            }
            transaction.commit().await?;
            if event.is_some() {
                self.database.notify_appended();
            }
            Ok(())
        };
        self.database.within_time("save payment", saving).await
    }

    async fn list_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, RepositoryError> {
        let listing = async {
            let found = query(
                "SELECT order_id, NULL AS refund_id, next_check_at AS due_at FROM payments WHERE next_check_at <= $1
                 UNION ALL
                 SELECT order_id, id, next_attempt_at FROM refunds WHERE next_attempt_at <= $1
                 ORDER BY due_at LIMIT $2",
            )
            .bind(now.unix_ms())
            .bind(limit as i64)
            .fetch_all(&mut *self.database.acquire().await?)
            .await?;
            let due = |row: &PgRow| {
                let order_id = OrderId::from_uuid(row.try_get(0)?);
                Ok(match row.try_get::<Option<Uuid>, _>(1)? {
                    None => Due::Charge(order_id),
                    Some(refund_id) => Due::Refund(order_id, RefundId::from_uuid(refund_id)),
                })
            };
            found.iter().map(due).collect()
        };
        self.database.within_time("list due payments", listing).await
    }

    async fn find_next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let looking = async {
            let due_at: Option<i64> = query_scalar(
                "SELECT least(
                     (SELECT min(next_check_at) FROM payments WHERE next_check_at IS NOT NULL),
                     (SELECT min(next_attempt_at) FROM refunds WHERE next_attempt_at IS NOT NULL))",
            )
            .fetch_one(&mut *self.database.acquire().await?)
            .await?;
            Ok(due_at.map(Timestamp::from_unix_ms))
        };
        self.database.within_time("next due payment", looking).await
    }

    async fn list_ledger(&self, order_id: OrderId) -> Result<Vec<LedgerEntry>, RepositoryError> {
        let listing = async { rows::list_entries(&mut *self.database.acquire().await?, order_id).await };
        self.database.within_time("list ledger entries", listing).await
    }
}
