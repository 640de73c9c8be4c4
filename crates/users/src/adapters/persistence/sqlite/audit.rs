//! What an audit reads of accounts in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contracts::audit::Backlog;
use contracts::ids::UserId;
use messaging::outbox;
use sqlite::{OpenError, ReadOnlyDatabase, SqliteUrl};

use super::error::SqliteError;
use crate::application::audit::UserAudit;
use crate::application::ports::RepositoryError;

/// [`UserAudit`] of one file.
pub struct SqliteUserAudit(ReadOnlyDatabase);

impl SqliteUserAudit {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        Ok(Self(ReadOnlyDatabase::open(url)?))
    }
}

#[async_trait]
impl UserAudit for SqliteUserAudit {
    async fn find_known(&self, users: &BTreeSet<UserId>) -> Result<BTreeSet<UserId>, RepositoryError> {
        let users = users.clone();
        let known: Result<_, SqliteError> = self
            .0
            .read(move |connection| {
                let mut statement = connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?;
                let mut known = BTreeSet::new();
                for user in users {
                    if statement.exists([user.to_string()])? {
                        known.insert(user);
                    }
                }
                Ok(known)
            })
            .await;
        Ok(known?)
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        let backlog: Result<_, SqliteError> = self.0.read(|connection| Ok(outbox::backlog(connection)?)).await;
        Ok(backlog?)
    }
}
