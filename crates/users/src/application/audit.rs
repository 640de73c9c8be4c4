//! What users tell an audit across stores.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contracts::audit::Backlog;
use contracts::ids::UserId;

use super::ports::RepositoryError;

/// Reads the account store for an audit: it writes nothing, and runs no migration. No name, address or secret is read.
#[async_trait]
pub trait UserAudit: Send + Sync {
    /// Those of the users that have an account.
    async fn find_known(&self, users: &BTreeSet<UserId>) -> Result<BTreeSet<UserId>, RepositoryError>;

    /// Events that wait to be published.
    async fn backlog(&self) -> Result<Backlog, RepositoryError>;
}
