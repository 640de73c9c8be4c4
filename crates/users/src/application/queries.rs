//! What others may ask.

use std::sync::Arc;

use contracts::Clock;
use contracts::ids::UserId;

use crate::application::UsersError;
use crate::application::ports::{
    AccessTokens, PublishedKey, SessionRepository, UserPosition, UserQuery, UserRepository,
};
use crate::domain::{Revocation, User};

/// The questions.
pub struct Queries {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Revocations.
    pub sessions: Arc<dyn SessionRepository>,
    /// Keys.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A page of users.
#[derive(Debug)]
pub struct UserPage {
    /// In order of registration.
    pub items: Vec<User>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<UserPosition>,
}

impl Queries {
    /// The user.
    ///
    /// # Errors
    /// [`UsersError::UserNotFound`].
    pub async fn get_user(&self, id: UserId) -> Result<User, UsersError> {
        self.users.find(id).await?.ok_or(UsersError::UserNotFound)
    }

    /// A page of users.
    pub async fn list_users(&self, query: UserQuery) -> Result<UserPage, UsersError> {
        let limit = query.limit;
        // One more than wanted tells whether there is another page.
        let mut items = self.users.list(UserQuery { limit: limit + 1, ..query }).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|user| UserPosition { created_at: user.created_at(), id: user.id() });
        Ok(UserPage { items, next })
    }

    /// The keys whose tokens may be unexpired.
    pub fn published_keys(&self) -> Vec<PublishedKey> {
        self.access_tokens.published(self.clock.now())
    }

    /// Everything revoked whose access tokens may be unexpired.
    pub async fn list_revocations(&self) -> Result<Vec<Revocation>, UsersError> {
        Ok(self.sessions.list_revocations(self.clock.now()).await?)
    }

    /// How many accounts have published passwords.
    pub async fn count_seeded(&self) -> Result<u64, UsersError> {
        Ok(self.users.count_seeded().await?)
    }
}
