//! What an audit reads of inboxes in SQLite.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::audit::{Backlog, Page, Span};
use messaging::outbox;
use rusqlite::Row;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl};

use super::error::SqliteError;
use crate::application::audit::{InboxFacts, NoticeFacts, NotificationAudit};
use crate::application::ports::RepositoryError;

/// Notifications by order, and those left out at the user's wish; the key (order_id, kind) is the index of both.
const NOTICES: &str = "
    SELECT n.order_id, n.user_id, n.kind, n.created_at, e.data ->> 'id' = n.id, FALSE
    FROM notifications n
    LEFT JOIN inbox_entries e ON e.user_id = n.user_id AND e.seq = n.seq AND e.event = 'notification'
    WHERE n.order_id > ?1 AND n.order_id <= ?2
    UNION ALL
    SELECT order_id, user_id, kind, created_at, FALSE, TRUE
    FROM muted_outcomes WHERE order_id > ?1 AND order_id <= ?2
    ORDER BY 1, 3 LIMIT ?3";

/// Inboxes by user; their numbers are of one moment.
const INBOXES: &str = "
    WITH page AS (
        SELECT user_id FROM inbox_entries WHERE user_id > ?1 AND user_id <= ?2
        UNION SELECT user_id FROM notifications WHERE user_id > ?1 AND user_id <= ?2
        ORDER BY user_id LIMIT ?3)
    SELECT page.user_id, count(e.seq), coalesce(min(e.seq), 0), coalesce(max(e.seq), 0),
        count(e.seq) FILTER (WHERE e.event = 'notification'),
        (SELECT count(*) FROM notifications n WHERE n.user_id = page.user_id)
    FROM page LEFT JOIN inbox_entries e ON e.user_id = page.user_id GROUP BY page.user_id ORDER BY page.user_id";

/// [`NotificationAudit`] of one file.
pub struct SqliteNotificationAudit(ReadOnlyDatabase);

impl SqliteNotificationAudit {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self(ReadOnlyDatabase::open(url)?))
    }

    async fn list<T: Send + 'static>(
        &self,
        sql: &'static str,
        span: Span,
        limit: usize,
        map: impl Fn(&Row<'_>) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<Vec<T>, RepositoryError> {
        let read: Result<_, SqliteError> = self
            .0
            .read(move |connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query((span.after.to_string(), span.until.to_string(), limit as i64))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(map(row)?);
                }
                Ok(found)
            })
            .await;
        Ok(read?)
    }
}

fn id<T: std::str::FromStr>(row: &Row<'_>, column: usize, table: &'static str) -> Result<T, SqliteError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| SqliteError::corrupt(table, text))
}

#[async_trait]
impl NotificationAudit for SqliteNotificationAudit {
    async fn list_notices(&self, span: Span, limit: usize) -> Result<Page<NoticeFacts>, RepositoryError> {
        let notices = self.list(NOTICES, span, limit, |row| {
            Ok(NoticeFacts {
                order_id: id(row, 0, "notifications")?,
                user_id: id(row, 1, "notifications")?,
                kind: row.get(2)?,
                created_at: Timestamp::from_unix_ms(row.get(3)?),
                is_in_inbox: row.get::<_, Option<bool>>(4)?.unwrap_or(false),
                is_muted: row.get(5)?,
            })
        });
        Ok(Page::of_groups(notices.await?, span, limit, |notice| notice.order_id.as_uuid()))
    }

    async fn list_inboxes(&self, span: Span, limit: usize) -> Result<Page<InboxFacts>, RepositoryError> {
        let inboxes = self.list(INBOXES, span, limit, |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(InboxFacts {
                user_id: id(row, 0, "inbox_entries")?,
                entries: number(1)?,
                first_seq: number(2)?,
                last_seq: number(3)?,
                notification_entries: number(4)?,
                notifications: number(5)?,
            })
        });
        Ok(Page::of(inboxes.await?, span, limit, |inbox| inbox.user_id.as_uuid()))
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let read: Result<_, SqliteError> = self.0.read(|connection| Ok(outbox::backlog(connection)?)).await;
        Ok(read?)
    }
}
