//! Signing keys in SQLite.

use async_trait::async_trait;
use contracts::Timestamp;
use rusqlite::OptionalExtension as _;

use super::SqliteStore;
use super::error::SqliteError;
use crate::application::ports::{RepositoryError, SigningKeyRepository};
use crate::domain::SigningKey;

#[async_trait]
impl SigningKeyRepository for SqliteStore {
    async fn list(&self) -> Result<Vec<SigningKey>, RepositoryError> {
        let keys = self.database.read("list signing keys", |connection| {
            let mut statement = connection.prepare("SELECT kid, pkcs8, created_at, retired_at FROM signing_keys")?;
            let rows = statement.query_map([], |row| {
                Ok(SigningKey {
                    kid: row.get(0)?,
                    pkcs8: row.get(1)?,
                    created_at: Timestamp::from_unix_ms(row.get(2)?),
                    retired_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_unix_ms),
                })
            })?;
            Ok::<_, SqliteError>(rows.collect::<Result<_, _>>()?)
        });
        Ok(keys.await?)
    }

    async fn succeed(&self, key: SigningKey, newest: Option<String>) -> Result<(), RepositoryError> {
        let succeeded = self.database.write("add signing key", move |connection| {
            let present: Option<String> = connection
                .query_row(
                    "SELECT kid FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at DESC, kid DESC LIMIT 1",
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            if present != newest {
                return Err(SqliteError::Conflict);
            }
            let made_at = key.created_at.unix_ms();
            connection.execute("UPDATE signing_keys SET retired_at = ?1 WHERE retired_at IS NULL", [made_at])?;
            connection.execute(
                "INSERT INTO signing_keys (kid, pkcs8, created_at) VALUES (?1, ?2, ?3)",
                (&key.kid, &key.pkcs8, made_at),
            )?;
            Ok(())
        });
        Ok(succeeded.await?)
    }

    async fn forget_retired(&self, before: Timestamp) -> Result<usize, RepositoryError> {
        let forgotten = self.database.write("forget signing keys", move |connection| {
            let deleted = connection.execute("DELETE FROM signing_keys WHERE retired_at < ?1", [before.unix_ms()])?;
            Ok::<_, SqliteError>(deleted)
        });
        Ok(forgotten.await?)
    }
}
