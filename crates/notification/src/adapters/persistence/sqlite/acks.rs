//! How far users' devices have their inbox.

use contracts::ids::UserId;
use rusqlite::{Connection, OptionalExtension as _};

use super::SqliteStore;
use super::entries::head_seq;
use super::error::SqliteError;
use super::rows::{integer, unsigned};
use crate::domain::inbox::Acked;

const TABLE: &str = "inbox_acks";

impl SqliteStore {
    pub(super) async fn write_ack(&self, user_id: UserId, seq: u64) -> Result<Acked, SqliteError> {
        // Looking costs no write: devices repeat themselves, and both numbers only grow.
        let known =
            self.database.read("find acknowledged", move |connection| standing(connection, user_id, seq)).await?;
        match known {
            Some(acked) => Ok(acked),
            None => {
                self.database.write("acknowledge inbox", move |connection| acknowledge(connection, user_id, seq)).await
            }
        }
    }
}

/// What is to be answered without changing anything; `None` if there is something to change.
fn standing(connection: &Connection, user_id: UserId, seq: u64) -> Result<Option<Acked>, SqliteError> {
    let acked = acked_seq(connection, user_id)?;
    if seq <= acked {
        return Ok(Some(Acked::UpTo(acked)));
    }
    let head_seq = head_seq(connection, user_id)?;
    Ok((seq > head_seq).then_some(Acked::BeyondHead { head_seq }))
}

fn acknowledge(connection: &Connection, user_id: UserId, seq: u64) -> Result<Acked, SqliteError> {
    if let Some(acked) = standing(connection, user_id, seq)? {
        return Ok(acked);
    }
    connection
        .prepare_cached(
            "INSERT INTO inbox_acks (user_id, acked_seq) VALUES (?1, ?2)
             ON CONFLICT (user_id) DO UPDATE SET acked_seq = excluded.acked_seq",
        )?
        .execute((user_id.to_string(), integer(seq)))?;
    Ok(Acked::UpTo(seq))
}

/// The highest position that was acknowledged; 0 for none.
pub(super) fn acked_seq(connection: &Connection, user_id: UserId) -> Result<u64, SqliteError> {
    let id = user_id.to_string();
    let acked: Option<i64> = connection
        .prepare_cached("SELECT acked_seq FROM inbox_acks WHERE user_id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    unsigned(acked.unwrap_or(0), TABLE, &id)
}
