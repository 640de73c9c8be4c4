//! Events are appended to a log in the transaction that changes the state; a relay publishes them after.
//!
//! The log (`events`) is append-only. The positions not yet published sit in the small table `outbox`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use observability::db::StoreFault;
use rusqlite::{Connection, OptionalExtension as _};
use sqlite::{Database, Migration, StoreError};
use tokio::sync::Notify;

/// The tables, for the migrations of a publishing service's own database.
pub const SCHEMA: Migration = Migration {
    component: "outbox",
    version: 1,
    sql: "
        CREATE TABLE events (
            position          INTEGER PRIMARY KEY AUTOINCREMENT,
            id                TEXT NOT NULL UNIQUE,
            type              TEXT NOT NULL,
            subject           TEXT NOT NULL,
            aggregate_version INTEGER NOT NULL,
            body              TEXT NOT NULL
        ) STRICT;
        CREATE INDEX events_by_subject ON events (subject, position);
        CREATE TABLE outbox (
            position INTEGER PRIMARY KEY REFERENCES events (position)
        ) STRICT;
    ",
};

/// What the relay needs of an outbox, whatever it is kept in.
#[async_trait]
pub trait OutboxSource: Send + Sync {
    /// The oldest unpublished events, in the order they were appended, with what [`OutboxSource::mark_published`] knows
    /// them by; at most `limit`, and those that are kept as one with the last of them. Of an aggregate, none before an earlier
    /// unpublished one.
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError>;

    /// Takes published events out of the outbox; the log keeps them. Marking twice is no error.
    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError>;

    /// Whether nothing is left to look for until [`OutboxSource::appended`], after `pending` was asked for so many and gave so
    /// many. Where in doubt, the next look tells.
    fn was_all(&self, _asked: usize, given: usize) -> bool {
        given == 0
    }

    /// Waits until something may have been appended since the last call.
    async fn appended(&self);

    /// The relay ends: what is published should be out of the outbox now, or is published once more.
    async fn close(&self) {}

    /// What waits to be published, by whichever relay.
    async fn backlog(&self) -> Result<Backlog, OutboxError>;
}

/// The outbox could not be read or written; safe to try again.
#[derive(Debug, thiserror::Error)]
#[error("the outbox is not available")]
pub struct OutboxError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// An event log with its outbox, in the SQLite database of a service.
#[derive(Clone)]
pub struct SqliteOutbox {
    database: Database,
    appended: Arc<Notify>,
}

impl SqliteOutbox {
    /// The outbox of a database that has [`SCHEMA`].
    pub fn new(database: Database) -> Self {
        Self { database, appended: Arc::default() }
    }

    /// Runs a write that may append events, and wakes the relay once it is on disk.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub async fn write<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + StoreFault + Send + 'static,
    {
        let result = self.database.write(operation, work).await;
        if result.is_ok() {
            self.appended.notify_one();
        }
        result
    }
}

#[async_trait]
impl OutboxSource for SqliteOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        self.database
            .read("pending events", move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT position, body FROM outbox JOIN events USING (position) ORDER BY position LIMIT ?1",
                )?;
                let rows = statement.query_map([limit as i64], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
                let mut pending = Vec::new();
                for row in rows {
                    let (position, body): (i64, String) = row?;
                    let event = serde_json::from_str(&body).map_err(|error| {
                        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
                    })?;
                    pending.push((position, event));
                }
                Ok(pending)
            })
            .await
            .map_err(|error: StoreError| OutboxError(Box::new(error)))
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        self.database
            .write("mark events published", move |connection| {
                let mut delete = connection.prepare_cached("DELETE FROM outbox WHERE position = ?1")?;
                for position in positions {
                    delete.execute([position])?;
                }
                Ok(())
            })
            .await
            .map_err(|error: StoreError| OutboxError(Box::new(error)))
    }

    async fn appended(&self) {
        self.appended.notified().await;
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let read = self.database.read("count outbox", |connection| Ok(backlog(connection)?)).await;
        read.map_err(|error: StoreError| OutboxError(Box::new(error)))
    }
}

/// Appends an event to the log and the outbox, inside the caller's transaction.
///
/// # Errors
/// What SQLite said; the transaction is to be undone.
pub fn append(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let body =
        serde_json::to_string(event).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("INSERT INTO events (id, type, subject, aggregate_version, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((event.id.to_string(), &event.event_type, &event.subject, event.aggregateversion as i64, body))?;
    connection.prepare_cached("INSERT INTO outbox VALUES (?1)")?.execute([connection.last_insert_rowid()])?;
    Ok(())
}

/// What waits to be published, for audits.
///
/// # Errors
/// What SQLite said; or an event in the log is none.
pub fn backlog(connection: &Connection) -> rusqlite::Result<Backlog> {
    let waiting: i64 = connection.prepare_cached("SELECT count(*) FROM outbox")?.query_row([], |row| row.get(0))?;
    let oldest: Option<String> = connection
        .prepare_cached("SELECT body FROM events WHERE position = (SELECT min(position) FROM outbox)")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let oldest: Option<Event> = oldest
        .map(|body| serde_json::from_str(&body))
        .transpose()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Backlog { waiting: waiting.unsigned_abs(), oldest_at: oldest.map(|event| event.time) })
}
