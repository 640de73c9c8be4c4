//! Who is in a room.

use contracts::ids::{ChatRoomId, UserId};
use contracts::{IdGenerator, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::error::SqliteError;
use super::super::rows::{integer, parsed, unsigned};
use super::{MEMBERS, rooms};
use crate::application::chat::events::RoomEvents;
use crate::application::chat::ports::Occasion;
use crate::domain::chat::member::{Member, Reading};

/// How far the member has read; `None` if they are none.
pub(super) fn reading(
    connection: &Connection,
    room_id: ChatRoomId,
    user_id: UserId,
) -> Result<Option<Reading>, SqliteError> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT read_seq, own_after FROM chat_members WHERE room_id = ?1 AND user_id = ?2")?
        .query_row((room_id.to_string(), user_id.to_string()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((read_seq, own_after)) = found else { return Ok(None) };
    let number = |number| unsigned(number, MEMBERS, &format!("{room_id}/{user_id}"));
    Ok(Some(Reading::stored(number(read_seq)?, number(own_after)?)))
}

pub(super) fn save_reading(
    connection: &Connection,
    room_id: ChatRoomId,
    user_id: UserId,
    reading: Reading,
) -> Result<(), SqliteError> {
    let (read_seq, own_after) = (integer(reading.read_seq()), integer(reading.own_after()));
    connection
        .prepare_cached("UPDATE chat_members SET read_seq = ?3, own_after = ?4 WHERE room_id = ?1 AND user_id = ?2")?
        .execute((room_id.to_string(), user_id.to_string(), read_seq, own_after))?;
    Ok(())
}

/// Makes the user a member of a room that is there, unless they are one.
pub(super) fn join(
    connection: &Connection,
    ids: &dyn IdGenerator,
    room_id: ChatRoomId,
    user_id: UserId,
    on: &Occasion,
) -> Result<(), SqliteError> {
    let last_seq = rooms::last_seq(connection, room_id)?.unwrap_or(0);
    let reading = Reading::joined_at(last_seq);
    let joined = connection
        .prepare_cached("INSERT INTO chat_members VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?
        .execute((
            room_id.to_string(),
            user_id.to_string(),
            on.now.unix_ms(),
            integer(reading.read_seq()),
            integer(reading.own_after()),
        ))?;
    if joined == 0 {
        return Ok(());
    }
    let version = rooms::count_event(connection, room_id, 0)?;
    let event = RoomEvents { ids, room_id, on }.member_joined(version, user_id);
    Ok(messaging::outbox::append(connection, &event)?)
}

/// Whether the user was a member.
pub(super) fn leave(
    connection: &Connection,
    ids: &dyn IdGenerator,
    room_id: ChatRoomId,
    user_id: UserId,
    on: &Occasion,
) -> Result<bool, SqliteError> {
    let left = connection
        .prepare_cached("DELETE FROM chat_members WHERE room_id = ?1 AND user_id = ?2")?
        .execute((room_id.to_string(), user_id.to_string()))?;
    if left == 0 {
        return Ok(false);
    }
    let version = rooms::count_event(connection, room_id, 0)?;
    let event = RoomEvents { ids, room_id, on }.member_left(version, user_id);
    messaging::outbox::append(connection, &event)?;
    Ok(true)
}

const MEMBER: &str = "SELECT m.user_id, m.joined_at, m.read_seq, c.id FROM chat_members m
    LEFT JOIN chat_messages c ON c.room_id = m.room_id AND c.seq = m.read_seq";

fn member_of(row: &Row<'_>) -> Result<Member, SqliteError> {
    let id: String = row.get(0)?;
    let read_message_id: Option<String> = row.get(3)?;
    Ok(Member {
        user_id: parsed(&id, MEMBERS, &id)?,
        joined_at: Timestamp::from_unix_ms(row.get(1)?),
        read_seq: unsigned(row.get(2)?, MEMBERS, &id)?,
        read_message_id: read_message_id.map(|message| parsed(&message, MEMBERS, &id)).transpose()?,
    })
}

pub(super) fn find(
    connection: &Connection,
    room_id: ChatRoomId,
    user_id: UserId,
) -> Result<Option<Member>, SqliteError> {
    let mut statement = connection.prepare_cached(&format!("{MEMBER} WHERE m.room_id = ?1 AND m.user_id = ?2"))?;
    let key = (room_id.to_string(), user_id.to_string());
    statement.query_row(key, |row| Ok(member_of(row))).optional()?.transpose()
}

pub(super) fn list(
    connection: &Connection,
    room_id: ChatRoomId,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<Member>, SqliteError> {
    let query = format!("{MEMBER} WHERE m.room_id = ?1 AND m.user_id > ?2 ORDER BY m.user_id LIMIT ?3");
    let mut statement = connection.prepare_cached(&query)?;
    let after = after.map_or_else(String::new, |id| id.to_string());
    let mut rows = statement.query((room_id.to_string(), after, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(member_of(row)?);
    }
    Ok(found)
}
