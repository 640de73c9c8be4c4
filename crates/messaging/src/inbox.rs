//! Deduplication of deliveries: the event's id is recorded in the transaction of its effect.

use contracts::Timestamp;
use rusqlite::Connection;
use sqlite::Migration;
use uuid::Uuid;

/// The table, for the migrations of a consuming service's own database.
pub const SCHEMA: Migration = Migration {
    component: "inbox",
    version: 1,
    sql: "
        CREATE TABLE consumed_events (
            consumer    TEXT NOT NULL,
            event_id    TEXT NOT NULL,
            consumed_at INTEGER NOT NULL,
            PRIMARY KEY (consumer, event_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX consumed_events_by_age ON consumed_events (consumed_at);
    ",
};

/// Records that `consumer` has used the event; `false` if it had before, and then the caller must not repeat the effect.
///
/// # Errors
/// What SQLite said; the transaction is to be undone.
pub fn record_first_use(
    connection: &Connection,
    consumer: &str,
    event_id: Uuid,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached("INSERT OR IGNORE INTO consumed_events VALUES (?1, ?2, ?3)")?
        .execute((consumer, event_id.to_string(), now.unix_ms()))?;
    Ok(inserted == 1)
}

/// Forgets events used before `before`; call it with a moment far longer ago than any redelivery.
///
/// # Errors
/// What SQLite said.
pub fn forget(connection: &Connection, before: Timestamp) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM consumed_events WHERE consumed_at < ?1", [before.unix_ms()])
}
