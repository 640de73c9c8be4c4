//! Orders in SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::event_data::OrderData;
use contracts::ids::{OrderId, UserId};
use contracts::{Event, IdGenerator, Timestamp};
use messaging::SqliteOutbox;
use messaging::outbox;
use observability::Cause;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

use super::envelope::{self, envelope, settled};
use super::sqlite_rows::{SAGA_COLUMNS, body_of, insert_saga, order_of, parsed, saga_of, update_saga};
use crate::application::ports::{
    Change, ChangedOrders, IdempotencyRecord, OrderFilter, OrderRepository, RepositoryError, Unfinished,
};
use crate::domain::{Order, OrderEvent, Saga};

/// How long an idempotency key holds: far longer than any client repeats a request, and then the table need not grow.
const KEY_TTL: Duration = Duration::from_hours(24);

const SCHEMA: &[Migration] = &[
    outbox::SCHEMA,
    Migration { component: "orders", version: 1, sql: include_str!("../../../migrations/sqlite/0001_orders.sql") },
];

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Sqlite(cause) = &error
            && cause.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
        {
            return Self::Conflict;
        }
        if let StoreError::Sqlite(cause) = &error
            && let rusqlite::Error::InvalidColumnType(column, ..) = **cause
        {
            return Self::Corrupt { table: "sagas", row: format!("column {column}") };
        }
        Self::Unavailable(Box::new(error))
    }
}

impl From<rusqlite::Error> for RepositoryError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Orders in one SQLite file, which one process has open.
#[derive(Clone)]
pub struct SqliteOrderRepository {
    database: Database,
    outbox: SqliteOutbox,
    ids: Arc<dyn IdGenerator>,
}

impl SqliteOrderRepository {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl, ids: Arc<dyn IdGenerator>) -> Result<Self, OpenError> {
        let database = Database::open(url, Durability::Full, SCHEMA)?;
        let outbox = SqliteOutbox::new(database.clone());
        Ok(Self { database, outbox, ids })
    }

    /// What the relay publishes.
    pub fn outbox(&self) -> SqliteOutbox {
        self.outbox.clone()
    }

    /// The file, for health checks.
    pub fn database(&self) -> Database {
        self.database.clone()
    }
}

fn find_key(connection: &Connection, user_id: UserId, key: &str) -> Result<Option<IdempotencyRecord>, RepositoryError> {
    let record = connection
        .prepare_cached(
            "SELECT fingerprint, order_id, created_at FROM idempotency_keys WHERE user_id = ?1 AND key = ?2",
        )?
        .query_row((user_id.to_string(), key), |row| {
            Ok(IdempotencyRecord {
                user_id,
                key: key.to_owned(),
                fingerprint: row.get(0)?,
                order_id: parsed(row, 1)?,
                created_at: Timestamp::from_unix_ms(row.get(2)?),
            })
        })
        .optional()?;
    Ok(record)
}

fn is_fresh(record: &IdempotencyRecord, now: Timestamp) -> bool {
    now.since(record.created_at) < KEY_TTL
}

#[async_trait]
impl OrderRepository for SqliteOrderRepository {
    async fn place(
        &self,
        order: Order,
        event: OrderEvent,
        saga: Saga,
        key: Option<IdempotencyRecord>,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        let envelope = envelope(self.ids.as_ref(), &event)?;
        self.outbox
            .write("place order", move |connection| {
                if let Some(key) = &key
                    && let Some(taken) = find_key(connection, key.user_id, &key.key)?
                    && is_fresh(&taken, key.created_at)
                {
                    return Ok(Some(taken));
                }
                connection
                    .prepare_cached(
                        "INSERT INTO orders (id, user_id, status, version, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((
                        order.id().to_string(),
                        order.user_id().to_string(),
                        order.status().as_str(),
                        order.version() as i64,
                        body_of(&order)?,
                    ))?;
                insert_saga(connection, &saga)?;
                if let Some(key) = key {
                    connection
                        .prepare_cached("INSERT OR REPLACE INTO idempotency_keys VALUES (?1, ?2, ?3, ?4, ?5)")?
                        .execute((
                        key.user_id.to_string(),
                        key.key,
                        key.fingerprint,
                        key.order_id.to_string(),
                        key.created_at.unix_ms(),
                    ))?;
                }
                outbox::append(connection, &envelope)?;
                Ok(None)
            })
            .await
    }

    async fn find_key(
        &self,
        user_id: UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        let key = key.to_owned();
        self.database
            .read("find idempotency key", move |connection| {
                Ok(find_key(connection, user_id, &key)?.filter(|record| is_fresh(record, now)))
            })
            .await
    }

    async fn find(&self, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        self.database
            .read("find order", move |connection| {
                connection
                    .prepare_cached("SELECT body FROM orders WHERE id = ?1")?
                    .query_row([id.to_string()], |row| row.get::<_, String>(0))
                    .optional()?
                    .map(|body| order_of(&body))
                    .transpose()
            })
            .await
    }

    async fn find_with_saga(&self, id: OrderId) -> Result<Option<(Order, Saga)>, RepositoryError> {
        self.database
            .read("find order with saga", move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT {SAGA_COLUMNS}, o.body FROM sagas s JOIN orders o ON o.id = s.order_id WHERE s.order_id = ?1"
                    ))?
                    .query_row([id.to_string()], |row| Ok((row.get::<_, String>(14)?, saga_of(row)?)))
                    .optional()?
                    .map(|(body, saga)| Ok((order_of(&body)?, saga)))
                    .transpose()
            })
            .await
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let envelope = change.order.as_ref().map(|(_, event)| envelope(self.ids.as_ref(), event)).transpose()?;
        self.outbox
            .write("save order", move |connection| {
                if update_saga(connection, &change.saga)? == 0 {
                    return Err(RepositoryError::Conflict);
                }
                if let Some((order, _)) = &change.order {
                    let written = connection
                        .prepare_cached(
                            "UPDATE orders SET status = ?2, version = ?3, body = ?4 WHERE id = ?1 AND version = ?3 - 1",
                        )?
                        .execute((
                            order.id().to_string(),
                            order.status().as_str(),
                            order.version() as i64,
                            body_of(order)?,
                        ))?;
                    if written == 0 {
                        return Err(RepositoryError::Conflict);
                    }
                }
                if let Some(envelope) = &envelope {
                    outbox::append(connection, envelope)?;
                }
                Ok(())
            })
            .await
    }

    async fn claim_due(
        &self,
        now: Timestamp,
        owner: &str,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Order, Saga)>, RepositoryError> {
        // Looking costs no write: most rounds find nothing.
        if self.next_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let owner = owner.to_owned();
        self.database
            .write("claim due sagas", move |connection| {
                let mut due = connection.prepare_cached(&format!(
                    "SELECT {SAGA_COLUMNS}, o.body FROM sagas s JOIN orders o ON o.id = s.order_id
                     WHERE s.due_at <= ?1 ORDER BY s.due_at LIMIT ?2"
                ))?;
                let rows =
                    due.query_map((now.unix_ms(), limit as i64), |row| Ok((row.get::<_, String>(14)?, saga_of(row)?)))?;
                let mut claimed = Vec::new();
                for row in rows {
                    let (body, mut saga) = row?;
                    saga.take_over(owner.clone(), lease_until);
                    saga.next_version();
                    update_saga(connection, &saga)?;
                    claimed.push((order_of(&body)?, saga));
                }
                Ok(claimed)
            })
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        self.database
            .read("next due saga", |connection| {
                let due: Option<i64> = connection
                    .prepare_cached("SELECT min(due_at) FROM sagas WHERE due_at IS NOT NULL")?
                    .query_row([], |row| row.get(0))?;
                Ok(due.map(Timestamp::from_unix_ms))
            })
            .await
    }

    async fn count_unfinished(&self) -> Result<Unfinished, RepositoryError> {
        self.database
            .read("count unfinished sagas", |connection| {
                let sagas: i64 = connection
                    .prepare_cached("SELECT count(*) FROM sagas WHERE due_at IS NOT NULL")?
                    .query_row([], |row| row.get(0))?;
                // Ids are ordered by time.
                let oldest: Option<String> = connection
                    .prepare_cached(
                        "SELECT o.body FROM sagas s JOIN orders o ON o.id = s.order_id
                         WHERE s.due_at IS NOT NULL AND o.status = 'pending' ORDER BY s.order_id LIMIT 1",
                    )?
                    .query_row([], |row| row.get(0))
                    .optional()?;
                let oldest_pending = oldest.map(|body| order_of(&body)).transpose()?.map(|order| order.created_at());
                Ok(Unfinished { sagas: sagas.unsigned_abs(), oldest_pending })
            })
            .await
    }

    async fn release_leases_of_the_dead(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        self.database
            .write("release leases", move |connection| {
                let released = connection.execute(
                    "UPDATE sagas SET due_at = ?1, version = version + 1 WHERE due_at > ?1",
                    [now.unix_ms()],
                )?;
                Ok(released)
            })
            .await
    }

    async fn list(&self, filter: OrderFilter, limit: usize) -> Result<Vec<Order>, RepositoryError> {
        self.database
            .read("list orders", move |connection| {
                let mut conditions = Vec::new();
                let mut values: Vec<String> = Vec::new();
                if let Some(user_id) = filter.user_id {
                    values.push(user_id.to_string());
                    conditions.push(format!("user_id = ?{}", values.len()));
                }
                if let Some(before) = filter.before {
                    values.push(before.to_string());
                    conditions.push(format!("id < ?{}", values.len()));
                }
                if !filter.statuses.is_empty() {
                    let first = values.len() + 1;
                    values.extend(filter.statuses.iter().map(|status| status.as_str().to_owned()));
                    let marks: Vec<_> = (first..=values.len()).map(|n| format!("?{n}")).collect();
                    conditions.push(format!("status IN ({})", marks.join(", ")));
                }
                let filter =
                    if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
                let mut statement = connection
                    .prepare_cached(&format!("SELECT body FROM orders {filter} ORDER BY id DESC LIMIT {limit}"))?;
                let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
                rows.map(|body| order_of(&body?)).collect()
            })
            .await
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        self.database
            .read("find cause of order", move |connection| {
                let body: Option<String> = connection
                    .prepare_cached("SELECT body FROM events WHERE subject = ?1 ORDER BY position LIMIT 1")?
                    .query_row([order_id.to_string()], |row| row.get(0))
                    .optional()?;
                Ok(body.and_then(|body| envelope::cause(&body)))
            })
            .await
    }

    async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, RepositoryError> {
        self.database
            .read("order timeline", move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT id, body FROM events WHERE subject = ?1 ORDER BY position")?;
                let rows = statement
                    .query_map([id.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
                let mut entries = Vec::new();
                for row in rows {
                    let (event_id, body) = row?;
                    let corrupt = || RepositoryError::Corrupt { table: "events", row: event_id.clone() };
                    let event: Event = serde_json::from_str(&body).map_err(|_| corrupt())?;
                    entries.push(event.data::<OrderData>().map_err(|_| corrupt())?);
                }
                Ok(entries)
            })
            .await
    }

    async fn changed_since(&self, after: u64, limit: usize) -> Result<ChangedOrders, RepositoryError> {
        self.database
            .read("list changed orders", move |connection| {
                let end: i64 = connection
                    .prepare_cached("SELECT coalesce(max(position), 0) FROM events")?
                    .query_row([], |row| row.get(0))?;
                let owed: Option<i64> = connection
                    .prepare_cached(
                        "SELECT min((SELECT max(e.position) FROM events e WHERE e.subject = s.order_id))
                         FROM sagas s WHERE s.due_at IS NOT NULL",
                    )?
                    .query_row([], |row| row.get(0))?;
                let mut statement = connection.prepare_cached(&format!(
                    "SELECT {SAGA_COLUMNS}, o.body, e.position
                     FROM events e JOIN sagas s ON s.order_id = e.subject JOIN orders o ON o.id = s.order_id
                     WHERE e.position > ?1 AND NOT EXISTS (
                         SELECT 1 FROM events l WHERE l.subject = e.subject AND l.position > e.position)
                     ORDER BY e.position LIMIT ?2"
                ))?;
                let after = i64::try_from(after).unwrap_or(i64::MAX);
                let rows = statement.query_map((after, limit as i64), |row| {
                    Ok((row.get::<_, i64>(15)?, row.get::<_, String>(14)?, saga_of(row)?))
                })?;
                let mut orders = Vec::new();
                for row in rows {
                    let (position, body, saga) = row?;
                    orders.push((position.unsigned_abs(), order_of(&body)?, saga));
                }
                Ok(ChangedOrders { orders, settled: settled(end, owed) })
            })
            .await
    }

    async fn forget_old_keys(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        self.database
            .write("forget idempotency keys", move |connection| {
                let before = now.minus(KEY_TTL).unix_ms();
                Ok(connection.execute("DELETE FROM idempotency_keys WHERE created_at < ?1", [before])?)
            })
            .await
    }
}
