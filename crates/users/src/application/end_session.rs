//! How long access tokens stay revoked, and what ending a session entails.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::SessionId;
use contracts::{Clock, Timestamp};
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::application::effects::{Effects, EndedSessions};
use crate::application::events::RequestEvents;
use crate::application::ports::SessionEnd;
use crate::domain::{Revocation, User};

/// Revocations and retired keys outlive the last token concerned by this much, for clocks that differ.
pub const MARGIN: Duration = Duration::from_mins(1);

/// The revocation of all the user's tokens issued before [`User::tokens_not_before`].
pub fn revocation_of_all(user: &User) -> Revocation {
    revocation(user, None, user.tokens_not_before())
}

fn revocation(user: &User, session_id: Option<SessionId>, not_before: Timestamp) -> Revocation {
    let expires_at = not_before.plus(ACCESS_TOKEN_TTL + MARGIN);
    Revocation { user_id: user.id(), session_id, not_before, expires_at }
}

/// Ends a session: no refresh, no access token of it is good any more, and others are told.
pub fn session_end(events: RequestEvents, clock: Arc<dyn Clock>) -> SessionEnd {
    Box::new(move |user, session_id| {
        // Read inside the transaction: later than any token of the session was issued.
        let now = clock.now();
        let not_before = user.note_session_end(now);
        Effects::telling(events.session_ended(user, session_id, not_before, now))
            .voiding(revocation(user, Some(session_id), not_before))
            .ending(EndedSessions::One(session_id, now))
    })
}
