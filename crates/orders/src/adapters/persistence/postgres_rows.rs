//! Rows of the PostgreSQL store, to and from the domain.

use contracts::Timestamp;
use contracts::event_data::OrderData;
use contracts::ids::{OrderId, RefundId};
use messaging::postgres::sql::{PgConnection, PgRow, Row as _, query};
use uuid::Uuid;

use crate::application::ports::RepositoryError;
use crate::domain::{Order, Saga, SagaParts, SagaState};

/// The columns that [`order_and_saga_of`] reads, besides the order's `body`.
pub(super) const SAGA_COLUMNS: &str = "s.order_id, s.state, s.payment_method, s.payment_unknown, s.cancel_reason, \
     s.refund_id, s.refund_reason, s.refund_marks_order, s.return_stock, s.refused, s.attempts, s.owner, s.due_at, s.version";

pub(super) fn order_of(id: OrderId, body: &str) -> Result<Order, RepositoryError> {
    let data: Option<OrderData> = serde_json::from_str(body).ok();
    data.and_then(Order::from_data).ok_or_else(|| RepositoryError::Corrupt { table: "orders", row: id.to_string() })
}

/// Reads an order and its saga, as of the row's moment.
pub(super) fn order_and_saga_of(row: &PgRow) -> Result<(Order, Saga), RepositoryError> {
    let order_id = OrderId::from_uuid(row.try_get("order_id")?);
    let order = order_of(order_id, row.try_get("body")?)?;
    let corrupt = || RepositoryError::Corrupt { table: "sagas", row: order_id.to_string() };
    let refused: Option<&str> = row.try_get("refused")?;
    let saga = Saga::from_parts(SagaParts {
        order_id,
        state: SagaState::find(row.try_get("state")?).ok_or_else(corrupt)?,
        payment_method: row.try_get("payment_method")?,
        payment_unknown: row.try_get("payment_unknown")?,
        cancel_reason: row.try_get("cancel_reason")?,
        refund_id: row.try_get::<Option<Uuid>, _>("refund_id")?.map(RefundId::from_uuid),
        refund_reason: row.try_get("refund_reason")?,
        refund_marks_order: row.try_get("refund_marks_order")?,
        return_stock: row.try_get("return_stock")?,
        refused: refused.map(|text| serde_json::from_str(text).map_err(|_| corrupt())).transpose()?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).map_err(|_| corrupt())?,
        owner: row.try_get("owner")?,
        due_at: row.try_get::<Option<i64>, _>("due_at")?.map(Timestamp::from_unix_ms),
        version: u64::try_from(row.try_get::<i64, _>("version")?).map_err(|_| corrupt())?,
    });
    Ok((order, saga))
}

pub(super) async fn insert_order(connection: &mut PgConnection, order: &Order) -> Result<(), RepositoryError> {
    query("INSERT INTO orders (id, user_id, status, version, body) VALUES ($1, $2, $3, $4, $5)")
        .bind(order.id().as_uuid())
        .bind(order.user_id().as_uuid())
        .bind(order.status().as_str())
        .bind(order.version() as i64)
        .bind(json(&order.to_data())?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes an order over the version before it.
///
/// # Errors
/// [`RepositoryError::Conflict`] when that is not what is stored.
pub(super) async fn update_order(connection: &mut PgConnection, order: &Order) -> Result<(), RepositoryError> {
    let updated = query("UPDATE orders SET status = $2, version = $3, body = $4 WHERE id = $1 AND version = $3 - 1")
        .bind(order.id().as_uuid())
        .bind(order.status().as_str())
        .bind(order.version() as i64)
        .bind(json(&order.to_data())?)
        .execute(connection)
        .await?;
    if updated.rows_affected() == 1 { Ok(()) } else { Err(RepositoryError::Conflict) }
}

pub(super) async fn insert_saga(connection: &mut PgConnection, saga: &Saga) -> Result<(), RepositoryError> {
    write_saga(
        connection,
        saga,
        "INSERT INTO sagas (order_id, state, payment_method, payment_unknown, cancel_reason, refund_id, refund_reason,
             refund_marks_order, return_stock, refused, attempts, owner, due_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .await
}

/// Writes a saga over the version before it.
///
/// # Errors
/// [`RepositoryError::Conflict`] when that is not what is stored.
pub(super) async fn update_saga(connection: &mut PgConnection, saga: &Saga) -> Result<(), RepositoryError> {
    write_saga(
        connection,
        saga,
        "UPDATE sagas SET state = $2, payment_method = $3, payment_unknown = $4, cancel_reason = $5, refund_id = $6,
             refund_reason = $7, refund_marks_order = $8, return_stock = $9, refused = $10, attempts = $11, owner = $12,
             due_at = $13, version = $14
         WHERE order_id = $1 AND version = $14 - 1",
    )
    .await
}

async fn write_saga(connection: &mut PgConnection, saga: &Saga, sql: &'static str) -> Result<(), RepositoryError> {
    let parts = saga.parts();
    let written = query(sql)
        .bind(parts.order_id.as_uuid())
        .bind(parts.state.as_str())
        .bind(&parts.payment_method)
        .bind(parts.payment_unknown)
        .bind(&parts.cancel_reason)
        .bind(parts.refund_id.map(|id| id.as_uuid()))
        .bind(&parts.refund_reason)
        .bind(parts.refund_marks_order)
        .bind(parts.return_stock)
        .bind(parts.refused.as_ref().map(json).transpose()?)
        .bind(i64::from(parts.attempts))
        .bind(&parts.owner)
        .bind(parts.due_at.map(Timestamp::unix_ms))
        .bind(parts.version as i64)
        .execute(connection)
        .await?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(RepositoryError::Conflict) }
}

fn json(value: &impl serde::Serialize) -> Result<String, RepositoryError> {
    serde_json::to_string(value).map_err(|error| RepositoryError::Unavailable(Box::new(error)))
}
