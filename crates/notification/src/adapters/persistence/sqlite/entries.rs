//! The inbox: appending, reading.

use contracts::event::EventHead;
use contracts::event_data::{InboxAppended, event_type};
use contracts::ids::UserId;
use contracts::{Event, IdGenerator, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::value::RawValue;

use super::SqliteStore;
use super::acks::acked_seq;
use super::error::SqliteError;
use super::rows::{integer, unsigned};
use crate::application::Cause;
use crate::domain::inbox::{InboxEntry, InboxEvent, InboxPage};

const TABLE: &str = "inbox_entries";
/// Most bytes of data in one page, so that it stays well below the 4 MiB that gRPC receivers take.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// What the entries of one transaction have in common.
pub(super) struct Appender<'a> {
    pub(super) connection: &'a Connection,
    pub(super) ids: &'a dyn IdGenerator,
    pub(super) user_id: UserId,
    pub(super) now: Timestamp,
    pub(super) cause: &'a Cause,
}

impl Appender<'_> {
    /// The position that the next entry will have.
    pub(super) fn next_seq(&self) -> Result<u64, SqliteError> {
        Ok(head_seq(self.connection, self.user_id)? + 1)
    }

    /// Appends at `seq`, which is [`Self::next_seq`], and publishes the entry.
    pub(super) fn append(&self, seq: u64, event: InboxEvent, data: String, event_id: &str) -> Result<(), SqliteError> {
        let data = self.cause.named_in(data);
        self.connection
            .prepare_cached(
                "INSERT INTO inbox_entries (user_id, seq, event, data, event_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                self.user_id.to_string(),
                integer(seq),
                event.as_str(),
                &data,
                event_id,
                self.now.unix_ms(),
            ))?;
        let published = self.published(seq, event, data).map_err(|_| SqliteError::corrupt(TABLE, event_id))?;
        Ok(messaging::outbox::append(self.connection, &published)?)
    }

    fn published(&self, seq: u64, event: InboxEvent, data: String) -> Result<Event, serde_json::Error> {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "notification",
            event_type: event_type::INBOX_APPENDED,
            subject: self.user_id.to_string(),
            time: self.now,
            aggregate_version: seq,
            traceparent: self.cause.traceparent.clone(),
            request_id: self.cause.request_id.clone(),
        };
        let data = RawValue::from_string(data)?;
        Event::new(head, &InboxAppended { user_id: self.user_id, seq, event: event.as_str().to_owned(), data })
    }
}

/// The newest position; 0 for an empty inbox.
pub(super) fn head_seq(connection: &Connection, user_id: UserId) -> Result<u64, SqliteError> {
    let head: Option<Option<i64>> = connection
        .prepare_cached("SELECT max(seq) FROM inbox_entries WHERE user_id = ?1")?
        .query_row([user_id.to_string()], |row| row.get(0))
        .optional()?;
    unsigned(head.flatten().unwrap_or(0), TABLE, "head")
}

impl SqliteStore {
    pub(super) async fn read_inbox(
        &self,
        user_id: UserId,
        after_seq: u64,
        limit: u32,
    ) -> Result<InboxPage, SqliteError> {
        self.database
            .read("list inbox", move |connection| {
                let head_seq = head_seq(connection, user_id)?;
                let mut statement = connection.prepare_cached(
                    "SELECT seq, event, data, created_at FROM inbox_entries WHERE user_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
                )?;
                let mut rows = statement.query((user_id.to_string(), integer(after_seq), limit))?;
                let (mut entries, mut bytes) = (Vec::new(), 0);
                while let Some(row) = rows.next()? {
                    let (seq, event, data): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    bytes += data.len();
                    if bytes > MAX_PAGE_BYTES && !entries.is_empty() {
                        break;
                    }
                    let corrupt = || SqliteError::corrupt(TABLE, format!("{user_id}/{seq}"));
                    entries.push(InboxEntry {
                        seq: u64::try_from(seq).map_err(|_| corrupt())?,
                        event: InboxEvent::find(&event).ok_or_else(corrupt)?,
                        data,
                        created_at: Timestamp::from_unix_ms(row.get(3)?),
                    });
                }
                Ok(InboxPage { entries, head_seq, acked_seq: acked_seq(connection, user_id)? })
            })
            .await
    }
}
