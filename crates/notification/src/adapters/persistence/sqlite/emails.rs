//! Emails on their way out, and what is forgotten.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::NotificationId;
use rusqlite::Params;

use super::SqliteStore;
use super::error::SqliteError;
use super::rows::parsed;
use crate::application::ports::{EmailQueue, Housekeeping, RepositoryError};
use crate::domain::email::QueuedEmail;
use crate::domain::email_content::EmailContent;

const TABLE: &str = "emails";

impl SqliteStore {
    async fn update_email(
        &self,
        statement: &'static str,
        parameters: impl Params + Send + 'static,
    ) -> Result<(), RepositoryError> {
        let updated = self.database.write("update email", move |connection| {
            connection.prepare_cached(statement)?.execute(parameters)?;
            Ok::<_, SqliteError>(())
        });
        Ok(updated.await?)
    }
}

#[async_trait]
impl EmailQueue for SqliteStore {
    async fn claim_due(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<QueuedEmail>, RepositoryError> {
        // Looking costs no write: most looks find nothing.
        if self.next_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let claimed = self.database.write("claim due emails", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT notification_id, user_id, subject, body, request_id, traceparent, created_at, attempts, html
                 FROM emails WHERE next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2",
            )?;
            let mut claim =
                connection.prepare_cached("UPDATE emails SET next_attempt_at = ?2 WHERE notification_id = ?1")?;
            let mut rows = statement.query((now.unix_ms(), limit))?;
            let mut emails = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, user_id): (String, String) = (row.get(0)?, row.get(1)?);
                emails.push(QueuedEmail {
                    notification_id: parsed(&id, TABLE, &id)?,
                    user_id: parsed(&user_id, TABLE, &id)?,
                    subject: row.get(2)?,
                    content: EmailContent { text: row.get(3)?, html: row.get(8)? },
                    request_id: row.get(4)?,
                    traceparent: row.get(5)?,
                    created_at: Timestamp::from_unix_ms(row.get(6)?),
                    failures: row.get(7)?,
                });
            }
            for email in &emails {
                claim.execute((email.notification_id.to_string(), lease_until.unix_ms()))?;
            }
            Ok::<_, SqliteError>(emails)
        });
        Ok(claimed.await?)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let found = self.database.read("next due email", |connection| {
            let due: Option<i64> = connection
                .prepare_cached("SELECT min(next_attempt_at) FROM emails WHERE next_attempt_at IS NOT NULL")?
                .query_row([], |row| row.get(0))?;
            Ok::<_, SqliteError>(due.map(Timestamp::from_unix_ms))
        });
        Ok(found.await?)
    }

    async fn mark_sent(&self, ids: &[NotificationId], at: Timestamp) -> Result<(), RepositoryError> {
        let ids: Vec<String> = ids.iter().map(NotificationId::to_string).collect();
        let marked = self.database.write("mark emails sent", move |connection| {
            let statement = "UPDATE emails SET sent_at = ?2, next_attempt_at = NULL WHERE notification_id = ?1";
            let mut update = connection.prepare_cached(statement)?;
            for id in ids {
                update.execute((id, at.unix_ms()))?;
            }
            Ok::<_, SqliteError>(())
        });
        Ok(marked.await?)
    }

    async fn mark_failed(&self, id: NotificationId, next_attempt_at: Timestamp) -> Result<(), RepositoryError> {
        let statement = "UPDATE emails SET attempts = attempts + 1, next_attempt_at = ?2
             WHERE notification_id = ?1 AND next_attempt_at IS NOT NULL";
        self.update_email(statement, (id.to_string(), next_attempt_at.unix_ms())).await
    }

    async fn mark_given_up(&self, id: NotificationId) -> Result<(), RepositoryError> {
        let statement = "UPDATE emails SET attempts = attempts + 1, next_attempt_at = NULL
             WHERE notification_id = ?1 AND next_attempt_at IS NOT NULL";
        self.update_email(statement, [id.to_string()]).await
    }
}

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn forget_before(&self, moment: Timestamp) -> Result<(), RepositoryError> {
        let forgotten = self.database.write("forget emails", move |connection| {
            messaging::inbox::forget(connection, moment)?;
            connection
                .prepare_cached("DELETE FROM emails WHERE next_attempt_at IS NULL AND created_at < ?1")?
                .execute([moment.unix_ms()])?;
            Ok::<_, SqliteError>(())
        });
        Ok(forgotten.await?)
    }
}
