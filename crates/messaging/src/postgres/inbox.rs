//! Deduplication of deliveries: the event's id is recorded in the transaction of its effect.

use contracts::Timestamp;
use sqlx_core::query::query;
use sqlx_postgres::PgConnection;
use uuid::Uuid;

use super::migration::Migration;

/// The table, for the migrations of a consuming service's own database.
pub const SCHEMA: Migration = Migration {
    component: "inbox",
    version: 1,
    sql: "
        CREATE TABLE consumed_events (
            consumer    TEXT NOT NULL,
            event_id    UUID NOT NULL,
            consumed_at BIGINT NOT NULL,
            PRIMARY KEY (consumer, event_id)
        );
        CREATE INDEX consumed_events_by_age ON consumed_events (consumed_at);
    ",
};

/// Records that `consumer` has used the event; `false` if it had before, and then the caller must not repeat the effect.
///
/// Waits while another transaction is about to record the same: of two at once one has the effect, if it commits.
///
/// # Errors
/// What PostgreSQL said; the transaction is to be undone.
pub async fn record_first_use(
    transaction: &mut PgConnection,
    consumer: &str,
    event_id: Uuid,
    now: Timestamp,
) -> Result<bool, sqlx_core::Error> {
    let inserted = query("INSERT INTO consumed_events VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(consumer)
        .bind(event_id)
        .bind(now.unix_ms())
        .execute(transaction)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Forgets events used before `before`; call it with a moment far longer ago than any redelivery.
///
/// # Errors
/// What PostgreSQL said.
pub async fn forget(connection: &mut PgConnection, before: Timestamp) -> Result<u64, sqlx_core::Error> {
    let deleted =
        query("DELETE FROM consumed_events WHERE consumed_at < $1").bind(before.unix_ms()).execute(connection).await?;
    Ok(deleted.rows_affected())
}
