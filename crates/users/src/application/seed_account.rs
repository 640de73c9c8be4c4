//! Seed: demonstration accounts, whose passwords everybody knows.

use std::sync::Arc;

use contracts::event_data::event_type;
use contracts::ids::UserId;
use contracts::{Clock, IdGenerator};

use crate::application::UsersError;
use crate::application::events::EventFactory;
use crate::application::ports::{PasswordHasher, RepositoryError, UserRepository};
use crate::domain::user::NewUser;
use crate::domain::{EmailAddress, Password, PersonName, Roles, User};

/// The use case.
pub struct SeedAccount {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Hashes.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdGenerator>,
}

impl SeedAccount {
    /// Makes the account unless the address has one, which is then left as it is. Says whether it made it.
    pub async fn execute(
        &self,
        email: EmailAddress,
        password: Password,
        name: PersonName,
        roles: Roles,
    ) -> Result<(User, bool), UsersError> {
        // Every start seeds: looking first saves the hash. The constraint still decides, below.
        if let Some(user) = self.users.find_by_email(&email).await? {
            return Ok((user, false));
        }
        let password_hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        let id = UserId::from_uuid(self.ids.new_uuid());
        let new = NewUser { id, email: email.clone(), name, password_hash, roles, seeded: true };
        let user = User::register(new, now);
        let event = self.events.for_this_request().about(&user, event_type::USER_REGISTERED, now);
        match self.users.add(user.clone(), None, event).await {
            Ok(()) => {
                tracing::info!(user.id = %id, "account seeded");
                Ok((user, true))
            }
            Err(RepositoryError::Conflict) => {
                let user = self.users.find_by_email(&email).await?.ok_or(UsersError::EmailTaken)?;
                Ok((user, false))
            }
            Err(error @ (RepositoryError::Unavailable(_) | RepositoryError::Corrupt { .. })) => Err(error.into()),
        }
    }
}
