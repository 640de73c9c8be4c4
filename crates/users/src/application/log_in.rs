//! Log in: a session for whoever knows the password.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::Clock;

use crate::application::UsersError;
use crate::application::issue_session::{IssuedSession, SessionIssuer};
use crate::application::ports::{PasswordHasher, SessionRepository, UserRepository};
use crate::domain::{EmailAddress, LoginThrottle, Password};

/// The use case.
pub struct LogIn {
    /// Accounts.
    pub users: Arc<dyn UserRepository>,
    /// Sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Hashes.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Tokens.
    pub issuer: SessionIssuer,
    /// Failures so far.
    pub throttle: Mutex<LoginThrottle>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl LogIn {
    /// Checks the password and begins a session. Takes the same time whether or not the address has an account.
    ///
    /// # Errors
    /// [`UsersError::TooManyAttempts`], [`UsersError::InvalidCredentials`], [`UsersError::AccountBanned`].
    pub async fn execute(&self, email: EmailAddress, password: Password) -> Result<IssuedSession, UsersError> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).check(&email, self.clock.now())?;
        let user = self.users.find_by_email(&email).await?;
        let hash = user.as_ref().map(|user| user.password_hash().clone());
        let is_right = self.hasher.verify(password, hash).await?;
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).settle(&email, is_right, self.clock.now())?;
        let user = user.filter(|_| is_right).ok_or(UsersError::InvalidCredentials)?;
        let now = self.clock.now();
        let (session, refresh_token) = self.issuer.open(user.id(), now);
        let session_id = session.session.id;
        // The user as they are when the session begins: roles or a ban may have come while the password was hashed.
        let user = self.sessions.begin(session).await?.ok_or(UsersError::InvalidCredentials)?;
        if let Some(reason) = user.ban_reason() {
            return Err(UsersError::AccountBanned { reason: reason.clone() });
        }
        Ok(self.issuer.grant(user, session_id, refresh_token, now))
    }
}
