//! What is said in a room, and how far it was read.

use contracts::ids::{ChatMessageId, ChatRoomId, UserId};
use contracts::{IdGenerator, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::error::SqliteError;
use super::super::rows::{integer, parsed, unsigned};
use super::{MESSAGES, members, rooms};
use crate::application::chat::events::RoomEvents;
use crate::application::chat::ports::{History, Marked, MessageDraft, Occasion, Posted, ReadPosition, ReadUpTo};
use crate::domain::chat::message::{ChatMessage, HistoryRange};

const COLUMNS: &str = "id, room_id, seq, user_id, content, client_id, created_at";

fn message_of(row: &Row<'_>) -> Result<ChatMessage, SqliteError> {
    let (id, room_id, user_id): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
    Ok(ChatMessage {
        room_id: parsed(&room_id, MESSAGES, &id)?,
        seq: unsigned(row.get(2)?, MESSAGES, &id)?,
        user_id: parsed(&user_id, MESSAGES, &id)?,
        content: row.get(4)?,
        client_id: row.get(5)?,
        created_at: Timestamp::from_unix_ms(row.get(6)?),
        id: parsed(&id, MESSAGES, &id)?,
    })
}

fn find_repeated(connection: &Connection, draft: &MessageDraft) -> Result<Option<ChatMessage>, SqliteError> {
    let Some(client_id) = &draft.client_id else { return Ok(None) };
    let query = format!("SELECT {COLUMNS} FROM chat_messages WHERE room_id = ?1 AND user_id = ?2 AND client_id = ?3");
    let key = (draft.room_id.to_string(), draft.user_id.to_string(), client_id.as_str());
    connection.prepare_cached(&query)?.query_row(key, |row| Ok(message_of(row))).optional()?.transpose()
}

pub(super) fn post(
    connection: &Connection,
    ids: &dyn IdGenerator,
    draft: &MessageDraft,
    on: &Occasion,
) -> Result<Posted, SqliteError> {
    let (room_id, user_id) = (draft.room_id, draft.user_id);
    let Some(reading) = members::reading(connection, room_id, user_id)? else { return Ok(Posted::NotAMember) };
    if let Some(stored) = find_repeated(connection, draft)? {
        return Ok(Posted::Repeated(stored));
    }
    let message = ChatMessage {
        id: draft.id,
        room_id,
        seq: rooms::last_seq(connection, room_id)?.unwrap_or(0) + 1,
        user_id,
        content: draft.content.as_str().to_owned(),
        client_id: draft.client_id.as_ref().map(|client_id| client_id.as_str().to_owned()),
        created_at: on.now,
    };
    let version = rooms::count_event(connection, room_id, 1)?;
    connection
        .prepare_cached(&format!("INSERT INTO chat_messages ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"))?
        .execute((
        message.id.to_string(),
        room_id.to_string(),
        integer(message.seq),
        user_id.to_string(),
        &message.content,
        &message.client_id,
        message.created_at.unix_ms(),
    ))?;
    members::save_reading(connection, room_id, user_id, reading.posted(message.seq))?;
    let event = RoomEvents { ids, room_id, on }.message_created(version, &message);
    messaging::outbox::append(connection, &event)?;
    Ok(Posted::Stored(message))
}

pub(super) fn list(
    connection: &Connection,
    room_id: ChatRoomId,
    range: HistoryRange,
    limit: u32,
) -> Result<History, SqliteError> {
    // Read first: the messages up to it are what the room was in that moment.
    let last_seq = rooms::last_seq(connection, room_id)?.unwrap_or(0);
    // Positions greater than the first bound, less than the second; from which end.
    let (after, before, order) = match range {
        HistoryRange::Latest => (0, last_seq + 1, "DESC"),
        HistoryRange::Before(seq) => (0, seq.min(last_seq + 1), "DESC"),
        HistoryRange::After(seq) => (seq, last_seq + 1, "ASC"),
    };
    let query = format!(
        "SELECT {COLUMNS} FROM chat_messages WHERE room_id = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq {order} LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query((room_id.to_string(), integer(after), integer(before), limit))?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push(message_of(row)?);
    }
    if order == "DESC" {
        messages.reverse();
    }
    Ok(History { messages, last_seq })
}

/// Position and id of a message of the room.
fn find_position(
    connection: &Connection,
    room_id: ChatRoomId,
    up_to: ReadUpTo,
) -> Result<Option<(u64, ChatMessageId)>, SqliteError> {
    let room = room_id.to_string();
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let found = match up_to {
        ReadUpTo::Seq(seq) => connection
            .prepare_cached("SELECT seq, id FROM chat_messages WHERE room_id = ?1 AND seq = ?2")?
            .query_row((&room, integer(seq)), read),
        ReadUpTo::Message(id) => connection
            .prepare_cached("SELECT seq, id FROM chat_messages WHERE room_id = ?1 AND id = ?2")?
            .query_row((&room, id.to_string()), read),
    };
    let Some((seq, id)) = found.optional()? else { return Ok(None) };
    Ok(Some((unsigned(seq, MESSAGES, &id)?, parsed(&id, MESSAGES, &id)?)))
}

fn own_after(connection: &Connection, room_id: ChatRoomId, user_id: UserId, seq: u64) -> Result<u64, SqliteError> {
    let own: i64 = connection
        .prepare_cached("SELECT count(*) FROM chat_messages WHERE room_id = ?1 AND seq > ?3 AND user_id = ?2")?
        .query_row((room_id.to_string(), user_id.to_string(), integer(seq)), |row| row.get(0))?;
    unsigned(own, MESSAGES, "count")
}

pub(super) fn mark_read(
    connection: &Connection,
    room_id: ChatRoomId,
    user_id: UserId,
    up_to: ReadUpTo,
) -> Result<Marked, SqliteError> {
    let Some(mut reading) = members::reading(connection, room_id, user_id)? else { return Ok(Marked::NotAMember) };
    let Some((seq, _)) = find_position(connection, room_id, up_to)? else { return Ok(Marked::NoSuchMessage) };
    // Without own messages after the old position there are none after a later one.
    let own = if reading.own_after() == 0 { 0 } else { own_after(connection, room_id, user_id, seq)? };
    let moved = reading.read_to(seq, own);
    if let Some(further) = moved {
        reading = further;
        members::save_reading(connection, room_id, user_id, reading)?;
    }
    let position = find_position(connection, room_id, ReadUpTo::Seq(reading.read_seq()))?;
    Ok(Marked::At(ReadPosition {
        read_seq: reading.read_seq(),
        read_message_id: position.map(|(_, id)| id),
        unread: reading.unread(rooms::last_seq(connection, room_id)?.unwrap_or(0)),
        moved: moved.is_some(),
    }))
}
