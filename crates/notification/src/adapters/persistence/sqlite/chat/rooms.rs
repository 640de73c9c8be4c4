//! Rooms.

use contracts::Timestamp;
use contracts::ids::{ChatRoomId, OrderId, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::error::SqliteError;
use super::super::rows::{parsed, unsigned};
use super::{MEMBERS, ROOMS};
use crate::application::chat::ports::RoomUnread;
use crate::domain::chat::member::Reading;
use crate::domain::chat::room::{Room, Visibility};

const COLUMNS: &str = "id, name, visibility, order_id, owner_id, created_at";
/// Greater than every id.
const END: &str = "~";

fn room_of(row: &Row<'_>) -> Result<Room, SqliteError> {
    let (id, visibility): (String, String) = (row.get(0)?, row.get(2)?);
    let order_id: Option<String> = row.get(3)?;
    let owner_id: String = row.get(4)?;
    Ok(Room {
        id: parsed(&id, ROOMS, &id)?,
        name: row.get(1)?,
        visibility: Visibility::find(&visibility).ok_or_else(|| SqliteError::corrupt(ROOMS, &id))?,
        order_id: order_id.map(|order_id| parsed(&order_id, ROOMS, &id)).transpose()?,
        owner_id: parsed(&owner_id, ROOMS, &id)?,
        created_at: Timestamp::from_unix_ms(row.get(5)?),
    })
}

pub(super) fn find(connection: &Connection, room_id: ChatRoomId) -> Result<Option<Room>, SqliteError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM chat_rooms WHERE id = ?1"))?;
    statement.query_row([room_id.to_string()], |row| Ok(room_of(row))).optional()?.transpose()
}

pub(super) fn insert(connection: &Connection, room: &Room) -> Result<(), SqliteError> {
    let insert = format!("INSERT INTO chat_rooms ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    connection.prepare_cached(&insert)?.execute((
        room.id.to_string(),
        &room.name,
        room.visibility.as_str(),
        room.order_id.map(|order_id| order_id.to_string()),
        room.owner_id.to_string(),
        room.created_at.unix_ms(),
    ))?;
    Ok(())
}

pub(super) fn find_or_insert_support(connection: &Connection, room: Room) -> Result<Room, SqliteError> {
    let order_id = room.order_id.map(|order_id| order_id.to_string());
    let query = format!("SELECT {COLUMNS} FROM chat_rooms WHERE order_id = ?1");
    let found = connection.prepare_cached(&query)?.query_row([order_id], |row| Ok(room_of(row))).optional()?;
    match found {
        Some(found) => found,
        None => insert(connection, &room).map(|()| room),
    }
}

pub(super) fn order_owner(connection: &Connection, order_id: OrderId) -> Result<Option<UserId>, SqliteError> {
    let id = order_id.to_string();
    let owner: Option<Option<String>> = connection
        .prepare_cached("SELECT user_id FROM order_versions WHERE order_id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    owner.flatten().map(|owner| parsed(&owner, "order_versions", &id)).transpose()
}

/// Each half is read from its index, no further than the page goes.
pub(super) fn list(
    connection: &Connection,
    user_id: UserId,
    joined_only: bool,
    before: Option<ChatRoomId>,
    limit: u32,
) -> Result<Vec<Room>, SqliteError> {
    let query = format!(
        "SELECT {COLUMNS} FROM chat_rooms WHERE id IN (
             SELECT * FROM (SELECT room_id FROM chat_members WHERE user_id = ?1 AND room_id < ?2
                            ORDER BY room_id DESC LIMIT ?3)
             UNION
             SELECT * FROM (SELECT id FROM chat_rooms INDEXED BY chat_rooms_public
                            WHERE visibility = 'public' AND id < ?2 AND NOT ?4 ORDER BY id DESC LIMIT ?3))
         ORDER BY id DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query((user_id.to_string(), end_or(before), limit, joined_only))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(room_of(row)?);
    }
    Ok(found)
}

pub(super) fn unread(
    connection: &Connection,
    user_id: UserId,
    before: Option<ChatRoomId>,
    limit: u32,
) -> Result<Vec<RoomUnread>, SqliteError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.id, r.last_seq, m.read_seq, m.own_after FROM chat_members m JOIN chat_rooms r ON r.id = m.room_id
         WHERE m.user_id = ?1 AND m.room_id < ?2 ORDER BY m.room_id DESC LIMIT ?3",
    )?;
    let mut rows = statement.query((user_id.to_string(), end_or(before), limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let number = |column| unsigned(row.get(column)?, MEMBERS, &id);
        let last_seq = number(1)?;
        let reading = Reading::stored(number(2)?, number(3)?);
        found.push(RoomUnread {
            room_id: parsed(&id, ROOMS, &id)?,
            count: reading.unread(last_seq),
            read_seq: reading.read_seq(),
            last_seq,
        });
    }
    Ok(found)
}

fn end_or(before: Option<ChatRoomId>) -> String {
    before.map_or_else(|| END.to_owned(), |id| id.to_string())
}

/// Position of the room's newest message; `None` if there is no such room.
pub(super) fn last_seq(connection: &Connection, room_id: ChatRoomId) -> Result<Option<u64>, SqliteError> {
    let id = room_id.to_string();
    let last: Option<i64> = connection
        .prepare_cached("SELECT last_seq FROM chat_rooms WHERE id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    last.map(|last| unsigned(last, ROOMS, &id)).transpose()
}

/// Counts one event more, and as many messages; the version that the event has.
pub(super) fn count_event(connection: &Connection, room_id: ChatRoomId, messages: u32) -> Result<u64, SqliteError> {
    let id = room_id.to_string();
    let version: i64 = connection
        .prepare_cached(
            "UPDATE chat_rooms SET version = version + 1, last_seq = last_seq + ?2 WHERE id = ?1 RETURNING version",
        )?
        .query_row((&id, messages), |row| row.get(0))?;
    unsigned(version, ROOMS, &id)
}
