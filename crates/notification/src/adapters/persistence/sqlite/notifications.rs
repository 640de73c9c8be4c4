//! Notifications: reading, marking read. Also where the inbox port meets this adapter.

use async_trait::async_trait;
use contracts::ids::{NotificationId, UserId};
use contracts::{IdGenerator, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::SqliteStore;
use super::entries::Appender;
use super::error::SqliteError;
use super::rows::{integer, parsed, unsigned};
use crate::application::Cause;
use crate::application::ports::{InboxRepository, OrderChange, Recorded, RepositoryError};
use crate::domain::inbox::{Acked, InboxEvent, InboxPage, ReadData, UnreadData};
use crate::domain::kind::NotificationKind;
use crate::domain::notification::{Notification, to_json};

const TABLE: &str = "notifications";
// Queries of what is unread name the partial index `notifications_unread`: left to itself the planner may read all that a
// user ever got.
const COLUMNS: &str = "id, seq, kind, title, body, order_id, read_at, created_at";

#[async_trait]
impl InboxRepository for SqliteStore {
    async fn record_order_change(&self, change: OrderChange) -> Result<Recorded, RepositoryError> {
        Ok(self.write_order_change(change).await?)
    }

    async fn list_inbox(&self, user_id: UserId, after_seq: u64, limit: u32) -> Result<InboxPage, RepositoryError> {
        Ok(self.read_inbox(user_id, after_seq, limit).await?)
    }

    async fn acknowledge(&self, user_id: UserId, seq: u64) -> Result<Acked, RepositoryError> {
        Ok(self.write_ack(user_id, seq).await?)
    }

    async fn list_notifications(
        &self,
        user_id: UserId,
        unread_only: bool,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Notification>, RepositoryError> {
        let (index, unread) =
            if unread_only { ("INDEXED BY notifications_unread", "AND read_at IS NULL") } else { ("", "") };
        let query = format!(
            "SELECT {COLUMNS} FROM notifications {index}
             WHERE user_id = ?1 AND seq < ?2 {unread} ORDER BY seq DESC LIMIT ?3"
        );
        let before = before_seq.map_or(i64::MAX, integer);
        let found = self.database.read("list notifications", move |connection| {
            let mut statement = connection.prepare_cached(&query)?;
            let mut rows = statement.query((user_id.to_string(), before, limit))?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(notification_of(row)?);
            }
            Ok::<_, SqliteError>(items)
        });
        Ok(found.await?)
    }

    async fn count_unread(&self, user_id: UserId) -> Result<u64, RepositoryError> {
        Ok(self
            .database
            .read("count unread notifications", move |connection| unread_count(connection, user_id))
            .await?)
    }

    async fn mark_read(
        &self,
        user_id: UserId,
        id: NotificationId,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<Notification>, RepositoryError> {
        let ids = self.ids.clone();
        let marked = self.outbox.write("mark notification read", move |connection| {
            let appender = Appender { connection, ids: ids.as_ref(), user_id, now, cause: &cause };
            mark_one(&appender, ids.as_ref(), id)
        });
        Ok(marked.await?)
    }

    async fn mark_all_read(&self, user_id: UserId, now: Timestamp, cause: Cause) -> Result<u64, RepositoryError> {
        let ids = self.ids.clone();
        let marked = self.outbox.write("mark notifications read", move |connection| {
            let appender = Appender { connection, ids: ids.as_ref(), user_id, now, cause: &cause };
            mark_all(&appender, ids.as_ref())
        });
        Ok(marked.await?)
    }
}

fn notification_of(row: &Row<'_>) -> Result<Notification, SqliteError> {
    let id: String = row.get(0)?;
    let kind: String = row.get(2)?;
    let order_id: String = row.get(5)?;
    let read_at: Option<i64> = row.get(6)?;
    Ok(Notification {
        seq: unsigned(row.get(1)?, TABLE, &id)?,
        kind: NotificationKind::find(&kind).ok_or_else(|| SqliteError::corrupt(TABLE, &id))?,
        title: row.get(3)?,
        body: row.get(4)?,
        order_id: parsed(&order_id, TABLE, &id)?,
        read_at: read_at.map(Timestamp::from_unix_ms),
        created_at: Timestamp::from_unix_ms(row.get(7)?),
        id: parsed(&id, TABLE, &id)?,
    })
}

fn unread_count(connection: &Connection, user_id: UserId) -> Result<u64, SqliteError> {
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM notifications INDEXED BY notifications_unread WHERE user_id = ?1 AND read_at IS NULL",
        )?
        .query_row([user_id.to_string()], |row| row.get(0))?;
    unsigned(count, TABLE, "count")
}

fn mark_one(
    appender: &Appender<'_>,
    ids: &dyn IdGenerator,
    id: NotificationId,
) -> Result<Option<Notification>, SqliteError> {
    let user_id = appender.user_id.to_string();
    let changed = appender
        .connection
        .prepare_cached("UPDATE notifications SET read_at = ?3 WHERE id = ?1 AND user_id = ?2 AND read_at IS NULL")?
        .execute((id.to_string(), &user_id, appender.now.unix_ms()))?;
    if changed == 1 {
        append_read(appender, id)?;
        append_unread(appender, ids)?;
    }
    let query = format!("SELECT {COLUMNS} FROM notifications WHERE id = ?1 AND user_id = ?2");
    let mut statement = appender.connection.prepare_cached(&query)?;
    statement.query_row((id.to_string(), &user_id), |row| Ok(notification_of(row))).optional()?.transpose()
}

fn mark_all(appender: &Appender<'_>, ids: &dyn IdGenerator) -> Result<u64, SqliteError> {
    let user_id = appender.user_id.to_string();
    let unread = {
        let mut statement = appender.connection.prepare_cached(
            "SELECT id FROM notifications INDEXED BY notifications_unread
             WHERE user_id = ?1 AND read_at IS NULL ORDER BY seq",
        )?;
        let rows = statement.query_map([&user_id], |row| row.get::<_, String>(0))?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    if unread.is_empty() {
        return Ok(0);
    }
    appender
        .connection
        .prepare_cached("UPDATE notifications INDEXED BY notifications_unread SET read_at = ?2 WHERE user_id = ?1 AND read_at IS NULL")?
        .execute((&user_id, appender.now.unix_ms()))?;
    for id in &unread {
        append_read(appender, parsed(id, TABLE, id)?)?;
    }
    append_unread(appender, ids)?;
    Ok(unread.len() as u64)
}

fn append_read(appender: &Appender<'_>, id: NotificationId) -> Result<(), SqliteError> {
    // A notification is read once: its id makes the entry unique.
    let data = to_json(&ReadData { id });
    appender.append(appender.next_seq()?, InboxEvent::NotificationRead, data, &format!("{id}/read"))
}

/// Tells how many are unread now.
pub(super) fn append_unread(appender: &Appender<'_>, ids: &dyn IdGenerator) -> Result<(), SqliteError> {
    let count = unread_count(appender.connection, appender.user_id)?;
    let entry_id = format!("{}/unread", ids.new_uuid());
    appender.append(appender.next_seq()?, InboxEvent::NotificationUnread, to_json(&UnreadData { count }), &entry_id)
}
