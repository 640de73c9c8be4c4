//! Dead letters in the broker's file: rows of `<group>.dead`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Timestamp;
use rusqlite::{Connection, Row};
use sqlite::StoreError;

use super::{Shared, SqliteBus};
use crate::dead_letters::{
    DeadLetter, DeadLetterError, DeadLetters, Handled, LetterId, Pile, SUFFIX, Which, dead_queue,
};

/// The dead letters of a [`SqliteBus`].
pub struct SqliteDeadLetters {
    shared: Arc<Shared>,
}

impl SqliteBus {
    /// Its dead letters.
    pub fn dead_letters(&self) -> SqliteDeadLetters {
        SqliteDeadLetters { shared: Arc::clone(&self.shared) }
    }
}

const COLUMNS: &str = "id, body, attempts, last_error, first_failed_at, last_failed_at";

fn letter(group: &str, row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_unix_ms));
    Ok(DeadLetter {
        group: group.to_owned(),
        key: row.get::<_, i64>(0)?.to_string(),
        body: row.get(1)?,
        attempts: row.get(2)?,
        error: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        first_failed_at: moment(4)?,
        last_failed_at: moment(5)?,
    })
}

fn unavailable(error: StoreError) -> DeadLetterError {
    DeadLetterError::Unavailable(Box::new(error))
}

/// What a letter can be changed by: its row, if the key is one.
fn row_id(key: &str) -> Option<i64> {
    key.parse().ok().filter(|id: &i64| id.to_string() == key)
}

enum Change {
    Replay(i64),
    Discard,
}

/// Changes the letters and tells which keys were found.
fn change(connection: &Connection, group: &str, which: &Which, change: &Change) -> Result<Handled, StoreError> {
    let dead = dead_queue(group);
    let set = match change {
        Change::Replay(now) => format!(
            "UPDATE messages SET queue = ?2, attempts = 0, available_at = {now}, last_error = NULL,
                 first_failed_at = NULL, last_failed_at = NULL WHERE queue = ?1"
        ),
        // Names the same parameters.
        Change::Discard => "DELETE FROM messages WHERE queue = ?1 AND ?2 IS NOT NULL".to_owned(),
    };
    let mut handled = Handled::default();
    match which {
        Which::All => handled.done = connection.execute(&set, (&dead, group))? as u64,
        Which::Keys(keys) => {
            let mut statement = connection.prepare(&format!("{set} AND id = ?3"))?;
            for key in keys {
                let changed = match row_id(key) {
                    Some(id) => statement.execute((&dead, group, id))? as u64,
                    None => 0,
                };
                handled.done += changed;
                if changed == 0 {
                    handled.missing.push(key.clone());
                }
            }
        }
    }
    Ok(handled)
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn piles(&self, _groups: &[String]) -> Result<Vec<Pile>, DeadLetterError> {
        let read = self.shared.database.read("list dead-letter piles", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT queue, count(*) FROM messages WHERE queue LIKE '%.dead' GROUP BY queue ORDER BY queue",
            )?;
            let rows = statement.query_map([], |row| {
                let (queue, letters): (String, i64) = (row.get(0)?, row.get(1)?);
                let group = queue.strip_suffix(SUFFIX).unwrap_or(&queue).to_owned();
                Ok(Pile { group, letters: letters.unsigned_abs() })
            })?;
            rows.collect::<Result<Vec<_>, _>>().map_err(StoreError::from)
        });
        read.await.map_err(unavailable)
    }

    async fn list(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let group = group.to_owned();
        let read = self.shared.database.read("list dead letters", move |connection| {
            // In the order in which they were given up, as far as that is known.
            let sql = format!(
                "SELECT {COLUMNS} FROM messages WHERE queue = ?1 ORDER BY coalesce(last_failed_at, 0), id LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map((dead_queue(&group), limit as i64), |row| letter(&group, row))?;
            rows.collect::<Result<Vec<_>, _>>().map_err(StoreError::from)
        });
        read.await.map_err(unavailable)
    }

    async fn find(&self, id: &LetterId) -> Result<Option<DeadLetter>, DeadLetterError> {
        let (group, Some(row)) = (id.group.clone(), row_id(&id.key)) else { return Ok(None) };
        let read = self.shared.database.read("find dead letter", move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM messages WHERE queue = ?1 AND id = ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query_map((dead_queue(&group), row), |row| letter(&group, row))?;
            Ok::<_, StoreError>(rows.next().transpose()?)
        });
        read.await.map_err(unavailable)
    }

    async fn replay(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        let (name, which, now) = (group.to_owned(), which.clone(), self.shared.clock.now().unix_ms());
        let write = self.shared.database.write("replay dead letters", move |connection| {
            let declared = "SELECT EXISTS (SELECT 1 FROM bindings WHERE queue = ?1)";
            if !connection.query_row(declared, [&name], |row| row.get::<_, bool>(0))? {
                return Ok(None);
            }
            change(connection, &name, &which, &Change::Replay(now)).map(Some)
        });
        let handled = write.await.map_err(unavailable)?;
        self.shared.queue(group).arrived.notify_one();
        handled.ok_or_else(|| DeadLetterError::NoSuchGroup(group.to_owned()))
    }

    async fn discard(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        let (group, which) = (group.to_owned(), which.clone());
        let write = self
            .shared
            .database
            .write("discard dead letters", move |connection| change(connection, &group, &which, &Change::Discard));
        write.await.map_err(unavailable)
    }
}
