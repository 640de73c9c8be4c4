//! What users chose.

use async_trait::async_trait;
use contracts::ids::UserId;
use rusqlite::{Connection, OptionalExtension as _};

use super::SqliteStore;
use super::error::SqliteError;
use crate::application::ports::{PreferenceRepository, RepositoryError};
use crate::domain::kind::NotificationKind;
use crate::domain::preference::{ChannelChange, Channels};

const TABLE: &str = "preferences";

/// How the user is told of this kind.
pub(super) fn channels_of(
    connection: &Connection,
    user_id: UserId,
    kind: NotificationKind,
) -> Result<Channels, SqliteError> {
    let chosen = connection
        .prepare_cached("SELECT push, email FROM preferences WHERE user_id = ?1 AND kind = ?2")?
        .query_row((user_id.to_string(), kind.as_str()), |row| Ok(Channels { push: row.get(0)?, email: row.get(1)? }))
        .optional()?;
    Ok(chosen.unwrap_or_default())
}

#[async_trait]
impl PreferenceRepository for SqliteStore {
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, Channels)>, RepositoryError> {
        let found = self.database.read("list preferences", move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT kind, push, email FROM preferences WHERE user_id = ?1")?;
            let rows = statement.query_map([user_id.to_string()], |row| {
                Ok((row.get::<_, String>(0)?, Channels { push: row.get(1)?, email: row.get(2)? }))
            })?;
            let mut choices = Vec::new();
            for row in rows {
                let (kind, channels) = row?;
                let corrupt = || SqliteError::corrupt(TABLE, format!("{user_id}/{kind}"));
                choices.push((NotificationKind::find(&kind).ok_or_else(corrupt)?, channels));
            }
            Ok::<_, SqliteError>(choices)
        });
        Ok(found.await?)
    }

    async fn save_preferences(
        &self,
        user_id: UserId,
        changes: Vec<(NotificationKind, ChannelChange)>,
    ) -> Result<(), RepositoryError> {
        let saved = self.database.write("save preferences", move |connection| {
            let mut save = connection.prepare_cached(
                "INSERT INTO preferences (user_id, kind, push, email) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (user_id, kind) DO UPDATE SET push = excluded.push, email = excluded.email",
            )?;
            for (kind, change) in changes {
                let channels = channels_of(connection, user_id, kind)?.after(change);
                save.execute((user_id.to_string(), kind.as_str(), channels.push, channels.email))?;
            }
            Ok::<_, SqliteError>(())
        });
        Ok(saved.await?)
    }
}
