//! What users chose.

use async_trait::async_trait;
use contracts::ids::UserId;

use super::SqliteStore;
use super::error::SqliteError;
use crate::application::ports::{PreferenceRepository, RepositoryError};
use crate::domain::kind::NotificationKind;

const TABLE: &str = "preferences";

#[async_trait]
impl PreferenceRepository for SqliteStore {
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, bool)>, RepositoryError> {
        let found = self.database.read("list preferences", move |connection| {
            let mut statement = connection.prepare_cached("SELECT kind, email FROM preferences WHERE user_id = ?1")?;
            let rows = statement
                .query_map([user_id.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
            let mut choices = Vec::new();
            for row in rows {
                let (kind, email) = row?;
                let corrupt = || SqliteError::corrupt(TABLE, format!("{user_id}/{kind}"));
                choices.push((NotificationKind::find(&kind).ok_or_else(corrupt)?, email));
            }
            Ok::<_, SqliteError>(choices)
        });
        Ok(found.await?)
    }

    async fn save_preferences(
        &self,
        user_id: UserId,
        choices: Vec<(NotificationKind, bool)>,
    ) -> Result<(), RepositoryError> {
        let saved = self.database.write("save preferences", move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO preferences VALUES (?1, ?2, ?3)
                 ON CONFLICT (user_id, kind) DO UPDATE SET email = excluded.email",
            )?;
            for (kind, email) in choices {
                statement.execute((user_id.to_string(), kind.as_str(), email))?;
            }
            Ok::<_, SqliteError>(())
        });
        Ok(saved.await?)
    }
}
