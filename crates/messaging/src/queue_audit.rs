//! What waits in the queues, for audits: nothing is taken out, declared or changed.

use async_trait::async_trait;
use sqlite::url::InvalidSqliteUrl;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl, StoreError};

/// How the names of dead-letter queues end.
const DEAD: &str = ".dead";

/// The messages of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its name: `notification.events`, or `notification.events.dead`.
    pub queue: String,
    /// Messages in it, those that wait for another attempt too.
    pub messages: u64,
    /// Whether it keeps what nobody could use.
    pub is_dead: bool,
    /// Why the oldest of them was given up or put off, where the broker knows.
    pub last_error: Option<String>,
}

/// The broker could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum QueueAuditError {
    /// The address is malformed.
    #[error("the broker's address is not valid")]
    InvalidUrl(#[from] InvalidSqliteUrl),
    /// The file could not be opened.
    #[error("the broker's file could not be opened")]
    Open(#[from] OpenError),
    /// The file could not be read.
    #[error("the broker's file could not be read")]
    Read(#[from] StoreError),
}

/// Tells what is in the queues.
#[async_trait]
pub trait QueueAudit: Send + Sync {
    /// Every queue that is not empty, by name.
    async fn list_queues(&self) -> Result<Vec<QueueFacts>, QueueAuditError>;
}

/// The queues of the broker at `url`, by its scheme. `None`: the broker's own tools, and `souk dlq`, look into its queues.
///
/// # Errors
/// [`QueueAuditError`].
pub fn open(url: &str) -> Result<Option<Box<dyn QueueAudit>>, QueueAuditError> {
    match url.split_once("://") {
        Some(("amqp" | "amqps", _)) => Ok(None),
        _ => {
            let url: SqliteUrl = url.parse()?;
            Ok(Some(Box::new(SqliteQueueAudit(ReadOnlyDatabase::open(&url)?))))
        }
    }
}

struct SqliteQueueAudit(ReadOnlyDatabase);

#[async_trait]
impl QueueAudit for SqliteQueueAudit {
    async fn list_queues(&self) -> Result<Vec<QueueFacts>, QueueAuditError> {
        self.0
            .read(|connection| {
                // Of columns beside min() SQLite takes the row that has the minimum.
                let mut statement = connection
                    .prepare_cached(
                        "SELECT queue, count(*), last_error, min(id) FROM messages GROUP BY queue ORDER BY queue",
                    )
                    .map_err(StoreError::from)?;
                let rows = statement
                    .query_map([], |row| {
                        let (queue, messages): (String, i64) = (row.get(0)?, row.get(1)?);
                        let is_dead = queue.strip_suffix(DEAD).is_some();
                        Ok(QueueFacts { queue, messages: messages.unsigned_abs(), is_dead, last_error: row.get(2)? })
                    })
                    .map_err(StoreError::from)?;
                Ok(rows.collect::<Result<_, _>>().map_err(StoreError::from)?)
            })
            .await
    }
}
