//! Orders in PostgreSQL, for any number of replicas.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::event_data::OrderData;
use contracts::ids::{OrderId, UserId};
use contracts::{Event, IdGenerator, Timestamp};
use messaging::postgres::sql::{AssertSqlSafe, PgConnection, Row as _, query, query_scalar};
use messaging::postgres::{Database, InvalidPostgresUrl, Migration, PostgresOutbox, StoreError, outbox};
use observability::Cause;
use uuid::Uuid;

use super::envelope::{self, envelope, settled};
use super::postgres_rows::{self as rows, SAGA_COLUMNS};
use crate::application::ports::{
    Change, ChangedOrders, IdempotencyRecord, OrderFilter, OrderRepository, RepositoryError, Unfinished,
};
use crate::domain::{Order, OrderEvent, Saga};

/// How long an idempotency key holds (design: Checkout).
const KEY_TTL: Duration = Duration::from_hours(24);

const SCHEMA: &[Migration] = &[
    outbox::SCHEMA,
    Migration { component: "orders", version: 1, sql: include_str!("../../../migrations/postgres/0001_orders.sql") },
];

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        if error.is_unique_violation() {
            return Self::Conflict;
        }
        match error.undecodable_column() {
            Some(column) => Self::Corrupt { table: "orders", row: format!("column {column}") },
            None => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<messaging::postgres::sql::Error> for RepositoryError {
    fn from(error: messaging::postgres::sql::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// Orders in one PostgreSQL schema, which several processes may use at once.
#[derive(Clone)]
pub struct PostgresOrderRepository {
    database: Database,
    ids: Arc<dyn IdGenerator>,
}

impl PostgresOrderRepository {
    /// The orders at `url`; nothing is asked of the server until [`Database::prepare`] is called.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str, ids: Arc<dyn IdGenerator>) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self { database: Database::new(url, "souk-orders", SCHEMA)?, ids })
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

async fn find_key(
    connection: &mut PgConnection,
    user_id: UserId,
    key: &str,
) -> Result<Option<IdempotencyRecord>, RepositoryError> {
    let row = query("SELECT fingerprint, order_id, created_at FROM idempotency_keys WHERE user_id = $1 AND key = $2")
        .bind(user_id.as_uuid())
        .bind(key)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(IdempotencyRecord {
        user_id,
        key: key.to_owned(),
        fingerprint: row.try_get(0)?,
        order_id: OrderId::from_uuid(row.try_get(1)?),
        created_at: Timestamp::from_unix_ms(row.try_get(2)?),
    }))
}

/// Takes the key, unless a fresh record holds it. Waits for a transaction that is about to take the same: of several at
/// once one gets it.
async fn take_key(connection: &mut PgConnection, record: &IdempotencyRecord) -> Result<bool, RepositoryError> {
    let taken = query(
        "INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, order_id, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, key) DO UPDATE
             SET fingerprint = excluded.fingerprint, order_id = excluded.order_id, created_at = excluded.created_at
             WHERE held.created_at <= $6",
    )
    .bind(record.user_id.as_uuid())
    .bind(&record.key)
    .bind(&record.fingerprint)
    .bind(record.order_id.as_uuid())
    .bind(record.created_at.unix_ms())
    .bind(record.created_at.minus(KEY_TTL).unix_ms())
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

#[async_trait]
impl OrderRepository for PostgresOrderRepository {
    async fn place(
        &self,
        order: Order,
        event: OrderEvent,
        saga: Saga,
        key: Option<IdempotencyRecord>,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        let envelope = envelope(self.ids.as_ref(), &event)?;
        let placing = async {
            let mut transaction = self.database.begin().await?;
            if let Some(key) = &key
                && !take_key(&mut transaction, key).await?
            {
                // Gone in between: it was just forgotten, and the caller's next attempt gets it.
                let taken = find_key(&mut transaction, key.user_id, &key.key).await?;
                return taken.map(Some).ok_or(RepositoryError::Conflict);
            }
            rows::insert_order(&mut transaction, &order).await?;
            rows::insert_saga(&mut transaction, &saga).await?;
            outbox::append(&mut transaction, &envelope).await?;
            transaction.commit().await?;
            self.database.notify_appended();
            Ok(None)
        };
        self.database.within_time("place order", placing).await
    }

    async fn find_key(
        &self,
        user_id: UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        let finding = async { find_key(&mut *self.database.acquire().await?, user_id, key).await };
        let found = self.database.within_time("find idempotency key", finding).await?;
        Ok(found.filter(|record| now.since(record.created_at) < KEY_TTL))
    }

    async fn find(&self, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        let finding = async {
            let body: Option<String> = query_scalar("SELECT body FROM orders WHERE id = $1")
                .bind(id.as_uuid())
                .fetch_optional(&mut *self.database.acquire().await?)
                .await?;
            body.map(|body| rows::order_of(id, &body)).transpose()
        };
        self.database.within_time("find order", finding).await
    }

    async fn find_with_saga(&self, id: OrderId) -> Result<Option<(Order, Saga)>, RepositoryError> {
        let sql = format!(
            "SELECT {SAGA_COLUMNS}, o.body FROM sagas s JOIN orders o ON o.id = s.order_id WHERE s.order_id = $1"
        );
        let finding = async {
            let row = query(AssertSqlSafe(sql))
                .bind(id.as_uuid())
                .fetch_optional(&mut *self.database.acquire().await?)
                .await?;
            row.map(|row| rows::order_and_saga_of(&row)).transpose()
        };
        self.database.within_time("find order with saga", finding).await
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let Some((order, event)) = &change.order else {
            let saving = async {
                let mut connection = self.database.acquire().await?;
                rows::update_saga(&mut connection, &change.saga).await
            };
            return self.database.within_time("save order", saving).await;
        };
        let envelope = envelope(self.ids.as_ref(), event)?;
        let saving = async {
            let mut transaction = self.database.begin().await?;
            rows::update_saga(&mut transaction, &change.saga).await?;
            rows::update_order(&mut transaction, order).await?;
            outbox::append(&mut transaction, &envelope).await?;
            transaction.commit().await?;
            self.database.notify_appended();
            Ok(())
        };
        self.database.within_time("save order", saving).await
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
        // As `Saga::take_over` and `Saga::next_version` do. What another claim has locked, it is being given.
        let sql = format!(
            "WITH due AS (
                 SELECT order_id, due_at AS was_due FROM sagas WHERE due_at <= $1
                 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE sagas s SET owner = $3, due_at = $4, version = s.version + 1
             FROM due, orders o WHERE s.order_id = due.order_id AND o.id = s.order_id
             RETURNING {SAGA_COLUMNS}, o.body, due.was_due"
        );
        let claiming = async {
            let claimed = query(AssertSqlSafe(sql))
                .bind(now.unix_ms())
                .bind(limit as i64)
                .bind(owner)
                .bind(lease_until.unix_ms())
                .fetch_all(&mut *self.database.acquire().await?)
                .await?;
            let mut claimed = claimed
                .iter()
                .map(|row| Ok((row.try_get::<i64, _>("was_due")?, rows::order_and_saga_of(row)?)))
                .collect::<Result<Vec<_>, RepositoryError>>()?;
            claimed.sort_by_key(|(was_due, _)| *was_due);
            Ok(claimed.into_iter().map(|(_, pair)| pair).collect())
        };
        self.database.within_time("claim due sagas", claiming).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let looking = async {
            let due: Option<i64> = query_scalar("SELECT min(due_at) FROM sagas WHERE due_at IS NOT NULL")
                .fetch_one(&mut *self.database.acquire().await?)
                .await?;
            Ok(due.map(Timestamp::from_unix_ms))
        };
        self.database.within_time("next due saga", looking).await
    }

    async fn count_unfinished(&self) -> Result<Unfinished, RepositoryError> {
        let counting = async {
            let mut connection = self.database.acquire().await?;
            let sagas: i64 =
                query_scalar("SELECT count(*) FROM sagas WHERE due_at IS NOT NULL").fetch_one(&mut *connection).await?;
            // Ids are ordered by time.
            let oldest = query(
                "SELECT o.id, o.body FROM sagas s JOIN orders o ON o.id = s.order_id
                 WHERE s.due_at IS NOT NULL AND o.status = 'pending' ORDER BY s.order_id LIMIT 1",
            )
            .fetch_optional(&mut *connection)
            .await?;
            let oldest_pending = match oldest {
                Some(row) => {
                    let id = OrderId::from_uuid(row.try_get(0)?);
                    Some(rows::order_of(id, row.try_get(1)?)?.created_at())
                }
                None => None,
            };
            Ok(Unfinished { sagas: sagas.unsigned_abs(), oldest_pending })
        };
        self.database.within_time("count unfinished sagas", counting).await
    }

    /// Nobody here can tell whether an owner lives: its lease will.
    async fn release_leases_of_the_dead(&self, _now: Timestamp) -> Result<usize, RepositoryError> {
        Ok(0)
    }

    async fn list(&self, filter: OrderFilter, limit: usize) -> Result<Vec<Order>, RepositoryError> {
        // One text for each kind of page, so that each has its plan; the parameters are always the same.
        let of_user = if filter.user_id.is_some() { "user_id = $1" } else { "$1::uuid IS NULL" };
        let older = if filter.before.is_some() { "id < $2" } else { "$2::uuid IS NULL" };
        let in_state = if filter.statuses.is_empty() { "cardinality($3::text[]) = 0" } else { "status = ANY ($3)" };
        let sql =
            format!("SELECT id, body FROM orders WHERE {of_user} AND {older} AND {in_state} ORDER BY id DESC LIMIT $4");
        let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
        let listing = async {
            let found = query(AssertSqlSafe(sql))
                .bind(filter.user_id.map(|id| id.as_uuid()))
                .bind(filter.before.map(|id| id.as_uuid()))
                .bind(statuses)
                .bind(limit as i64)
                .fetch_all(&mut *self.database.acquire().await?)
                .await?;
            found.iter().map(|row| rows::order_of(OrderId::from_uuid(row.try_get(0)?), row.try_get(1)?)).collect()
        };
        self.database.within_time("list orders", listing).await
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        let finding = async {
            let body: Option<String> =
                query_scalar("SELECT body FROM events WHERE subject = $1 ORDER BY position LIMIT 1")
                    .bind(order_id.to_string())
                    .fetch_optional(&mut *self.database.acquire().await?)
                    .await?;
            Ok(body.and_then(|body| envelope::cause(&body)))
        };
        self.database.within_time("find cause of order", finding).await
    }

    async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, RepositoryError> {
        let reading = async {
            let found = query("SELECT id, body FROM events WHERE subject = $1 ORDER BY position")
                .bind(id.to_string())
                .fetch_all(&mut *self.database.acquire().await?)
                .await?;
            found
                .iter()
                .map(|row| {
                    let event_id: Uuid = row.try_get(0)?;
                    let event: Option<Event> = serde_json::from_str(row.try_get(1)?).ok();
                    event
                        .and_then(|event| event.data::<OrderData>().ok())
                        .ok_or_else(|| RepositoryError::Corrupt { table: "events", row: event_id.to_string() })
                })
                .collect()
        };
        self.database.within_time("order timeline", reading).await
    }

    async fn changed_since(&self, after: u64, limit: usize) -> Result<ChangedOrders, RepositoryError> {
        // One statement each, in this order: what is settled is then never later than the orders that are returned.
        let sql = format!(
            "SELECT {SAGA_COLUMNS}, o.body, e.position
             FROM events e JOIN orders o ON o.id = e.subject::uuid JOIN sagas s ON s.order_id = o.id
             WHERE e.position > $1 AND NOT EXISTS (
                 SELECT 1 FROM events l WHERE l.subject = e.subject AND l.position > e.position)
             ORDER BY e.position LIMIT $2"
        );
        let reading = async {
            let mut connection = self.database.acquire().await?;
            let row = query(
                "SELECT (SELECT coalesce(max(position), 0) FROM events),
                        (SELECT min(last.position) FROM sagas s CROSS JOIN LATERAL (
                             SELECT max(position) AS position FROM events WHERE subject = s.order_id::text) last
                         WHERE s.due_at IS NOT NULL)",
            )
            .fetch_one(&mut *connection)
            .await?;
            let settled = settled(row.try_get(0)?, row.try_get(1)?);
            let found = query(AssertSqlSafe(sql))
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(limit as i64)
                .fetch_all(&mut *connection)
                .await?;
            let orders = found
                .iter()
                .map(|row| {
                    let position: i64 = row.try_get("position")?;
                    let (order, saga) = rows::order_and_saga_of(row)?;
                    Ok((position.unsigned_abs(), order, saga))
                })
                .collect::<Result<_, RepositoryError>>()?;
            Ok(ChangedOrders { orders, settled })
        };
        self.database.within_time("list changed orders", reading).await
    }

    async fn forget_old_keys(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        let forgetting = async {
            let forgotten = query("DELETE FROM idempotency_keys WHERE created_at < $1")
                .bind(now.minus(KEY_TTL).unix_ms())
                .execute(&mut *self.database.acquire().await?)
                .await?;
            Ok(forgotten.rows_affected() as usize)
        };
        self.database.within_time("forget idempotency keys", forgetting).await
    }
}
