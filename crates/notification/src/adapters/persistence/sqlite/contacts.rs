//! How users are reached.

use async_trait::async_trait;
use contracts::ids::UserId;
use rusqlite::OptionalExtension as _;

use super::SqliteStore;
use super::error::SqliteError;
use super::rows::{integer, unsigned};
use crate::application::ports::{ContactRepository, RepositoryError};
use crate::domain::contact::Contact;

const TABLE: &str = "contacts";

#[async_trait]
impl ContactRepository for SqliteStore {
    async fn save_contact(&self, contact: Contact) -> Result<bool, RepositoryError> {
        let saved = self.database.write("save contact", move |connection| {
            let changed = connection
                .prepare_cached(
                    "INSERT INTO contacts VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (user_id) DO UPDATE
                     SET email = excluded.email, name = excluded.name, version = excluded.version
                     WHERE excluded.version >= contacts.version",
                )?
                .execute((contact.user_id.to_string(), &contact.email, &contact.name, integer(contact.version)))?;
            Ok::<_, SqliteError>(changed > 0)
        });
        Ok(saved.await?)
    }

    async fn forget_contact(&self, user_id: UserId, version: u64) -> Result<(), RepositoryError> {
        let forgotten = self.database.write("forget contact", move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO contacts VALUES (?1, NULL, NULL, ?2)
                     ON CONFLICT (user_id) DO UPDATE SET email = NULL, name = NULL, version = excluded.version
                     WHERE excluded.version > contacts.version",
                )?
                .execute((user_id.to_string(), integer(version)))?;
            Ok::<_, SqliteError>(())
        });
        Ok(forgotten.await?)
    }

    async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError> {
        let found = self.database.read("find contact", move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT email, name, version FROM contacts WHERE user_id = ?1 AND email IS NOT NULL")?;
            let row = statement
                .query_row([user_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?)))
                .optional()?;
            let Some((email, name, version)) = row else { return Ok(None) };
            let version = unsigned(version, TABLE, &user_id.to_string())?;
            Ok::<_, SqliteError>(Some(Contact { user_id, email, name, version }))
        });
        Ok(found.await?)
    }
}
