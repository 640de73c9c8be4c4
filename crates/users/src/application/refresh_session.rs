//! Refresh: a new pair of tokens for a refresh token, once.

use std::sync::Arc;

use contracts::Clock;

use crate::application::UsersError;
use crate::application::end_session::session_end;
use crate::application::events::EventFactory;
use crate::application::issue_session::{IssuedSession, SessionIssuer};
use crate::application::ports::{RefreshTokens, Rotation, SessionRepository};
use crate::domain::RefreshToken;

/// The use case.
pub struct RefreshSession {
    /// Sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Recognises tokens.
    pub tokens: Arc<dyn RefreshTokens>,
    /// Tokens.
    pub issuer: SessionIssuer,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl RefreshSession {
    /// Rotates the token. One that was used before ends its session.
    ///
    /// # Errors
    /// [`UsersError::InvalidRefreshToken`].
    pub async fn execute(&self, presented: RefreshToken) -> Result<IssuedSession, UsersError> {
        let now = self.clock.now();
        let successor = self.tokens.generate();
        let on_reuse = session_end(self.events.for_this_request(), Arc::clone(&self.clock));
        let (presented, recognised) = (self.tokens.digest(&presented), self.tokens.digest(&successor));
        match self.sessions.rotate(presented, recognised, now, on_reuse).await? {
            Rotation::Rotated { user, session_id } => Ok(self.issuer.grant(user, session_id, successor, now)),
            Rotation::Reused { user_id, session_id } => {
                tracing::warn!(user.id = %user_id, session.id = %session_id, "refresh token used twice, session ended");
                Err(UsersError::InvalidRefreshToken)
            }
            Rotation::Refused => Err(UsersError::InvalidRefreshToken),
        }
    }
}
