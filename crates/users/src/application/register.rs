//! Register: an account and its first session.

use std::sync::Arc;

use contracts::event_data::event_type;
use contracts::ids::UserId;
use contracts::{Clock, IdGenerator};

use crate::application::UsersError;
use crate::application::events::EventFactory;
use crate::application::issue_session::{IssuedSession, SessionIssuer};
use crate::application::ports::{PasswordHasher, RepositoryError, UserRepository};
use crate::domain::user::NewUser;
use crate::domain::{EmailAddress, Password, PersonName, Roles, User};

/// The use case.
pub struct Register {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Hashes.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Tokens.
    pub issuer: SessionIssuer,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdGenerator>,
}

impl Register {
    /// Makes the account of a customer and signs them in.
    ///
    /// # Errors
    /// [`UsersError::EmailTaken`]; found by the store's constraint, so that of two at the same time one is told so.
    pub async fn execute(
        &self,
        email: EmailAddress,
        password: Password,
        name: PersonName,
    ) -> Result<IssuedSession, UsersError> {
        let password_hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        let id = UserId::from_uuid(self.ids.new_uuid());
        let new = NewUser { id, email, name, password_hash, roles: Roles::customer(), seeded: false };
        let user = User::register(new, now);
        let (session, refresh_token) = self.issuer.open(id, now);
        let session_id = session.session.id;
        let event = self.events.for_this_request().about(&user, event_type::USER_REGISTERED, now);
        match self.users.add(user.clone(), Some(session), event).await {
            Ok(()) => {}
            Err(RepositoryError::Conflict) => return Err(UsersError::EmailTaken),
            Err(error @ (RepositoryError::Unavailable(_) | RepositoryError::Corrupt { .. })) => {
                return Err(error.into());
            }
        }
        tracing::info!(user.id = %id, "user registered");
        Ok(self.issuer.grant(user, session_id, refresh_token, now))
    }
}
