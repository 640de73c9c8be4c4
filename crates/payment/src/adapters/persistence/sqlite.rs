//! Payments in a SQLite file.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{OrderId, RefundId};
use messaging::SqliteOutbox;
use observability::Cause;
use rusqlite::{Connection, OptionalExtension as _};
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

use super::sqlite_failure::Failure;
use super::sqlite_rows as rows;
use crate::application::ports::{Change, Due, LedgerEntry, PaymentRepository, RepositoryError};
use crate::domain::Payment;

const SCHEMA: &[Migration] = &[
    Migration { component: "payment", version: 1, sql: include_str!("../../../migrations/sqlite/payment_0001.sql") },
    Migration { component: "payment", version: 2, sql: include_str!("../../../migrations/sqlite/payment_0002.sql") },
    messaging::outbox::SCHEMA,
];

/// The adapter. Clones share the file.
#[derive(Clone)]
pub struct SqlitePaymentRepository {
    database: Database,
    outbox: SqliteOutbox,
}

impl SqlitePaymentRepository {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_file(url: &SqliteUrl) -> Result<Self, OpenError> {
        let database = Database::open(url, Durability::Full, SCHEMA)?;
        Ok(Self { outbox: SqliteOutbox::new(database.clone()), database })
    }

    /// The outbox that the events are written to, for the relay.
    pub fn outbox(&self) -> &SqliteOutbox {
        &self.outbox
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping().await
    }
}

#[async_trait]
impl PaymentRepository for SqlitePaymentRepository {
    async fn open(&self, payment: &Payment) -> Result<Option<Payment>, RepositoryError> {
        let (snapshot, cause) = (payment.snapshot(), Cause::current());
        self.database
            .write("open payment", move |connection| {
                if rows::insert_payment(connection, &snapshot, cause.as_ref())? {
                    return Ok::<_, Failure>(None);
                }
                Ok(Some(rows::find_payment(connection, snapshot.order_id)?.ok_or(Failure::Conflict)?))
            })
            .await
            .map_err(RepositoryError::from)
    }

    async fn find_by_order(&self, order_id: OrderId) -> Result<Option<Payment>, RepositoryError> {
        self.database
            .read("find payment", move |connection| rows::find_payment(connection, order_id))
            .await
            .map_err(RepositoryError::from)
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        self.database
            .read("find cause of payment", move |connection| {
                let found: Option<(Option<String>, Option<String>)> = connection
                    .prepare_cached("SELECT request_id, traceparent FROM payments WHERE order_id = ?1")?
                    .query_row([order_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                let known = |(request_id, traceparent): (Option<String>, _)| {
                    Some(Cause { request_id: request_id?, traceparent })
                };
                Ok::<_, Failure>(found.and_then(known))
            })
            .await
            .map_err(RepositoryError::from)
    }

    async fn find_order_of_refund(&self, refund_id: RefundId) -> Result<Option<OrderId>, RepositoryError> {
        self.database
            .read("find refund", move |connection| {
                let order_id: Option<String> = connection
                    .prepare_cached("SELECT order_id FROM refunds WHERE id = ?1")?
                    .query_row([refund_id.to_string()], |row| row.get(0))
                    .optional()?;
                Ok::<_, Failure>(order_id.map(|id| rows::parse("refunds", refund_id, &id)).transpose()?)
            })
            .await
            .map_err(RepositoryError::from)
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let Change { payment, expected_version, entry, event } = change;
        let snapshot = payment.snapshot();
        let write = move |connection: &Connection| {
            if !rows::update_payment(connection, &snapshot, expected_version)? {
                return Err(Failure::Conflict);
            }
            for (position, refund) in snapshot.refunds.iter().enumerate() {
                if !rows::upsert_refund(connection, snapshot.order_id, position, refund)? {
                    return Err(Failure::Conflict);
                }
            }
            if let Some(entry) = &entry {
                rows::insert_entry(connection, entry)?;
            }
            if let Some(event) = &event {
                messaging::outbox::append(connection, event)?;
            }
            Ok(())
        };
        self.outbox.write("save payment", write).await.map_err(RepositoryError::from)
    }

    async fn list_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, RepositoryError> {
        self.database
            .read("list due payments", move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT order_id, NULL, next_check_at AS due_at FROM payments WHERE next_check_at <= ?1
                     UNION ALL
                     SELECT order_id, id, next_attempt_at FROM refunds WHERE next_attempt_at <= ?1
                     ORDER BY due_at LIMIT ?2",
                )?;
                let found = statement.query_map((now.unix_ms(), limit as i64), |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
                })?;
                let mut due = Vec::new();
                for row in found {
                    let (order_id, refund_id) = row?;
                    let order = rows::parse("payments", &order_id, &order_id)?;
                    due.push(match refund_id {
                        None => Due::Charge(order),
                        Some(refund_id) => Due::Refund(order, rows::parse("refunds", &refund_id, &refund_id)?),
                    });
                }
                Ok::<_, Failure>(due)
            })
            .await
            .map_err(RepositoryError::from)
    }

    async fn find_next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        self.database
            .read("next due payment", |connection| {
                let due_at: Option<i64> = connection
                    .prepare_cached(
                        "SELECT min(due_at) FROM (
                            SELECT min(next_check_at) AS due_at FROM payments WHERE next_check_at IS NOT NULL
                            UNION ALL
                            SELECT min(next_attempt_at) FROM refunds WHERE next_attempt_at IS NOT NULL)",
                    )?
                    .query_row([], |row| row.get(0))?;
                Ok::<_, Failure>(due_at.map(Timestamp::from_unix_ms))
            })
            .await
            .map_err(RepositoryError::from)
    }

    async fn list_ledger(&self, order_id: OrderId) -> Result<Vec<LedgerEntry>, RepositoryError> {
        self.database
            .read("list ledger entries", move |connection| rows::list_entries(connection, order_id))
            .await
            .map_err(RepositoryError::from)
    }
}
