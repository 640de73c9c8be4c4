//! The operator's port: how far an outbox is behind.

use std::path::PathBuf;

use async_trait::async_trait;
use contracts::{Event, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use sqlite::SqliteUrl;
use uuid::Uuid;

use crate::outbox::OutboxError;
use crate::telemetry;

/// What an outbox holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// Events that wait to be published.
    pub depth: u64,
    /// The one that waits first.
    pub oldest: Option<Unpublished>,
    /// Everything up to this position has been published; `None` when nothing has. Where positions are handed out in blocks
    /// (MongoDB), it is the end of the last block while nothing waits, and so may go back a little when something does.
    pub published_to: Option<i64>,
}

/// An event that waits to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpublished {
    /// Its position in the event log.
    pub position: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The aggregate it tells of.
    pub subject: String,
    /// When what it tells of happened: since then it waits.
    pub time: Timestamp,
}

impl Unpublished {
    /// The event at a position.
    pub fn of(position: i64, event: &Event) -> Self {
        Self {
            position,
            event_id: event.id,
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            time: event.time,
        }
    }

    /// The same from the event as it is stored.
    ///
    /// # Errors
    /// [`OutboxError`] when that is no event.
    pub fn read(position: i64, body: &str) -> Result<Self, OutboxError> {
        let event: Event = serde_json::from_str(body).map_err(|error| OutboxError(Box::new(error)))?;
        Ok(Self::of(position, &event))
    }
}

/// An outbox of a service in this process, as its relay saw it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenHere {
    /// Whose it is.
    pub service: String,
    /// Events that wait to be published.
    pub depth: i64,
    /// How long ago what the oldest of them tells of happened, in whole seconds; 0 when there is none.
    pub oldest_age_seconds: i64,
}

/// The outboxes of the services in this process: what their metrics show. Nothing is read from any store.
pub fn seen_here() -> Vec<SeenHere> {
    telemetry::backlogs()
        .into_iter()
        .map(|(service, depth, oldest_age_seconds)| SeenHere { service, depth, oldest_age_seconds })
        .collect()
}

/// Tells how far an outbox is behind.
///
/// Reads alone: nothing is made, migrated, locked or taken, whether the service runs or not. Costs no more in a long log, and
/// fails within a few seconds where the store is away.
#[async_trait]
pub trait OutboxStatusSource: Send + Sync {
    /// What is there now.
    async fn status(&self) -> Result<OutboxStatus, OutboxError>;
}

/// The outbox in the SQLite file of a service.
#[derive(Clone, Debug)]
pub struct SqliteOutboxStatus {
    file: PathBuf,
}

impl SqliteOutboxStatus {
    /// The outbox in this file, which need not be there.
    pub fn new(url: &SqliteUrl) -> Self {
        Self { file: url.path().to_owned() }
    }
}

fn read(file: &std::path::Path) -> Result<OutboxStatus, OutboxError> {
    let failed = |error: rusqlite::Error| OutboxError(Box::new(error));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(failed)?;
    // One state of the file for all questions.
    let snapshot = connection.transaction().map_err(failed)?;
    let depth: i64 = snapshot.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).map_err(failed)?;
    let oldest: Option<(i64, String)> = snapshot
        .query_row(
            "SELECT position, body FROM outbox JOIN events USING (position) ORDER BY position LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(failed)?;
    let published_to = snapshot
        .query_row(
            "SELECT max(position) FROM events WHERE position < ?1",
            [oldest.as_ref().map_or(i64::MAX, |(position, _)| *position)],
            |row| row.get(0),
        )
        .map_err(failed)?;
    let oldest = oldest.map(|(position, body)| Unpublished::read(position, &body)).transpose()?;
    Ok(OutboxStatus { depth: depth.unsigned_abs(), oldest, published_to })
}

#[async_trait]
impl OutboxStatusSource for SqliteOutboxStatus {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || read(&file)).await.map_err(|error| OutboxError(Box::new(error)))?
    }
}
