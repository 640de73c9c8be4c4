//! Rows of the SQLite store, to and from the domain.

use contracts::event_data::OrderData;
use contracts::{Timestamp, ids};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, params};

use crate::application::ports::RepositoryError;
use crate::domain::{Order, Saga, SagaParts, SagaState};

/// The columns that [`saga_of`] reads, in its order.
pub(super) const SAGA_COLUMNS: &str = "s.order_id, s.state, s.payment_method, s.payment_unknown, s.cancel_reason, s.refund_id, \
     s.refund_reason, s.refund_marks_order, s.return_stock, s.refused, s.attempts, s.owner, s.due_at, s.version";

pub(super) fn order_of(body: &str) -> Result<Order, RepositoryError> {
    let data: Option<OrderData> = serde_json::from_str(body).ok();
    data.and_then(Order::from_data)
        .ok_or_else(|| RepositoryError::Corrupt { table: "orders", row: body.chars().take(80).collect() })
}

pub(super) fn body_of(order: &Order) -> Result<String, RepositoryError> {
    serde_json::to_string(&order.to_data()).map_err(|error| RepositoryError::Unavailable(Box::new(error)))
}

/// Reads a saga from a row that begins with [`SAGA_COLUMNS`]; a value that makes no sense is a conversion failure.
pub(super) fn saga_of(row: &Row<'_>) -> rusqlite::Result<Saga> {
    let refused: Option<String> = row.get(9)?;
    Ok(Saga::from_parts(SagaParts {
        order_id: parsed(row, 0)?,
        state: SagaState::find(row.get_ref(1)?.as_str()?).ok_or_else(|| nonsense(1))?,
        payment_method: row.get(2)?,
        payment_unknown: row.get(3)?,
        cancel_reason: row.get(4)?,
        refund_id: row.get::<_, Option<String>>(5)?.map(|id| id.parse().map_err(|_| nonsense(5))).transpose()?,
        refund_reason: row.get(6)?,
        refund_marks_order: row.get(7)?,
        return_stock: row.get(8)?,
        refused: refused.map(|text| serde_json::from_str(&text).map_err(|_| nonsense(9))).transpose()?,
        attempts: row.get(10)?,
        owner: row.get(11)?,
        due_at: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_unix_ms),
        version: row.get::<_, i64>(13)?.unsigned_abs(),
    }))
}

pub(super) fn parsed<T: std::str::FromStr<Err = ids::InvalidId>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|_| nonsense(column))
}

fn nonsense(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, String::new(), Type::Text)
}

pub(super) fn insert_saga(connection: &Connection, saga: &Saga) -> Result<(), RepositoryError> {
    with_saga_params(saga, |params| {
        connection
            .prepare_cached(
                "INSERT INTO sagas (order_id, state, payment_method, payment_unknown, cancel_reason, refund_id, refund_reason,
                     refund_marks_order, return_stock, refused, attempts, owner, due_at, version)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params)
    })
    .map(drop)
}

/// Writes a saga over the version before it; the number of rows written is 0 when that is not what is stored.
pub(super) fn update_saga(connection: &Connection, saga: &Saga) -> Result<usize, RepositoryError> {
    with_saga_params(saga, |params| {
        connection
            .prepare_cached(
                "UPDATE sagas SET state = ?2, payment_method = ?3, payment_unknown = ?4, cancel_reason = ?5, refund_id = ?6,
                     refund_reason = ?7, refund_marks_order = ?8, return_stock = ?9, refused = ?10, attempts = ?11,
                     owner = ?12, due_at = ?13, version = ?14
                 WHERE order_id = ?1 AND version = ?14 - 1",
            )?
            .execute(params)
    })
}

fn with_saga_params(
    saga: &Saga,
    run: impl FnOnce(&[&dyn ToSql]) -> rusqlite::Result<usize>,
) -> Result<usize, RepositoryError> {
    let parts = saga.parts();
    let refused = parts
        .refused
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| RepositoryError::Unavailable(Box::new(error)))?;
    run(params![
        parts.order_id.to_string(),
        parts.state.as_str(),
        parts.payment_method,
        parts.payment_unknown,
        parts.cancel_reason,
        parts.refund_id.map(|id| id.to_string()),
        parts.refund_reason,
        parts.refund_marks_order,
        parts.return_stock,
        refused,
        parts.attempts,
        parts.owner,
        parts.due_at.map(Timestamp::unix_ms),
        parts.version as i64,
    ])
    .map_err(RepositoryError::from)
}
