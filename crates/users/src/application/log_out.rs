//! Log out: ends a session.

use std::sync::Arc;

use contracts::Clock;

use crate::application::UsersError;
use crate::application::end_session::session_end;
use crate::application::events::EventFactory;
use crate::application::ports::{RefreshTokens, SessionRepository};
use crate::domain::RefreshToken;

/// The use case.
pub struct LogOut {
    /// Sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Recognises tokens.
    pub tokens: Arc<dyn RefreshTokens>,
    /// Events.
    pub events: EventFactory,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl LogOut {
    /// Ends the session of the token with its access tokens. A token that is void already is as good as logged out.
    pub async fn execute(&self, presented: RefreshToken) -> Result<(), UsersError> {
        let on_end = session_end(self.events.for_this_request(), Arc::clone(&self.clock));
        if let Some(session_id) = self.sessions.end(self.tokens.digest(&presented), on_end).await? {
            tracing::info!(session.id = %session_id, "session ended by its holder");
        }
        Ok(())
    }
}
