//! Accounts in SQLite.

use async_trait::async_trait;
use contracts::Event;
use contracts::ids::UserId;
use messaging::outbox;

use super::error::SqliteError;
use super::{SqliteStore, effects, rows};
use crate::application::ports::{NewSession, RepositoryError, UserChange, UserQuery, UserRepository};
use crate::domain::{EmailAddress, User};

#[async_trait]
impl UserRepository for SqliteStore {
    async fn add(&self, user: User, session: Option<NewSession>, event: Event) -> Result<(), RepositoryError> {
        self.outbox
            .write("add user", move |connection| {
                rows::insert_user(connection, &user)?;
                if let Some(session) = &session {
                    effects::insert_session(connection, session)?;
                }
                outbox::append(connection, &event)?;
                Ok::<_, SqliteError>(())
            })
            .await?;
        Ok(())
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, RepositoryError> {
        Ok(self
            .database
            .read("find user", move |connection| rows::find_user(connection, "id = ?1", [id.to_string()]))
            .await?)
    }

    async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, RepositoryError> {
        let email = email.as_str().to_owned();
        Ok(self
            .database
            .read("find user by email", move |connection| rows::find_user(connection, "email = ?1", [email]))
            .await?)
    }

    async fn list(&self, query: UserQuery) -> Result<Vec<User>, RepositoryError> {
        let search = query.search.to_lowercase();
        let (after_ms, after_id) =
            query.after.map_or((i64::MIN, String::new()), |after| (after.created_at.unix_ms(), after.id.to_string()));
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let users = self.database.read("list users", move |connection| {
            let columns = rows::USER_COLUMNS;
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {columns} FROM users
                 WHERE (created_at, id) > (?1, ?2) AND (?3 = '' OR instr(search_text, ?3) > 0)
                 ORDER BY created_at, id LIMIT ?4"
            ))?;
            let mut rows = statement.query((after_ms, after_id, search, limit))?;
            let mut users = Vec::new();
            while let Some(row) = rows.next()? {
                users.push(rows::user(row)?);
            }
            Ok::<_, SqliteError>(users)
        });
        Ok(users.await?)
    }

    async fn change(&self, id: UserId, mut change: UserChange) -> Result<Option<User>, RepositoryError> {
        let changed = self.outbox.write("change user", move |connection| {
            let Some(mut user) = rows::find_user(connection, "id = ?1", [id.to_string()])? else { return Ok(None) };
            let version = user.version();
            let consequences = change(&mut user);
            if user.version() != version {
                effects::keep(connection, &user, &consequences)?;
            }
            Ok::<_, SqliteError>(Some(user))
        });
        Ok(changed.await?)
    }

    async fn count_seeded(&self) -> Result<u64, RepositoryError> {
        let count: i64 = self
            .database
            .read("count seeded users", |connection| {
                let mut statement = connection.prepare_cached("SELECT count(*) FROM users WHERE seeded = 1")?;
                Ok::<_, SqliteError>(statement.query_row([], |row| row.get(0))?)
            })
            .await?;
        Ok(count.unsigned_abs())
    }
}
