//! Sessions: a sign-in and everything refreshed from it (a family of refresh tokens).

use std::time::Duration;

use contracts::Timestamp;
use contracts::ids::{SessionId, UserId};

/// A session ends this long after the sign-in, however often it was refreshed.
pub const SESSION_LIFE: Duration = Duration::from_hours(30 * 24);

/// A sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it in access tokens.
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended: a log-out, a ban, a refresh token used twice.
    pub revoked_at: Option<Timestamp>,
}

/// What a presented refresh token leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshVerdict {
    /// A new pair of tokens; the presented one is used from now on.
    Rotate,
    /// The token was used before: its holder or a thief has its successor, and nobody knows which. The session ends.
    Reuse,
    /// Nothing, and nothing changes.
    Refuse,
}

impl Session {
    /// A session that begins now.
    pub fn begin(id: SessionId, user_id: UserId, now: Timestamp) -> Self {
        Self { id, user_id, created_at: now, expires_at: now.plus(SESSION_LIFE), revoked_at: None }
    }

    /// Judges one of the session's refresh tokens (RFC 9700 §4.14.2).
    pub fn judge(&self, token_was_used: bool, user_is_banned: bool, now: Timestamp) -> RefreshVerdict {
        if self.revoked_at.is_some() || self.expires_at <= now {
            RefreshVerdict::Refuse
        } else if token_was_used {
            RefreshVerdict::Reuse
        } else if user_is_banned {
            RefreshVerdict::Refuse
        } else {
            RefreshVerdict::Rotate
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_rotates_once_within_the_life_of_a_session_that_nobody_ended() {
        use RefreshVerdict::{Refuse, Reuse, Rotate};
        let start = Timestamp::from_unix_ms(1_800_000_000_000);
        let live = Session::begin(SessionId::from_uuid(Uuid::nil()), UserId::from_uuid(Uuid::nil()), start);
        let revoked = Session { revoked_at: Some(start), ..live.clone() };
        let last = start.plus(SESSION_LIFE).minus(Duration::from_millis(1));
        let over = start.plus(SESSION_LIFE);
        for (session, used, banned, now, expected) in [
            (&live, false, false, start, Rotate),
            (&live, false, false, last, Rotate),
            (&live, false, false, over, Refuse),
            (&live, true, false, start, Reuse),
            (&live, true, false, over, Refuse),
            (&live, false, true, start, Refuse),
            (&live, true, true, start, Reuse),
            (&revoked, false, false, start, Refuse),
            (&revoked, true, false, start, Refuse),
        ] {
            assert_eq!(session.judge(used, banned, now), expected, "{session:?} used {used} banned {banned} at {now}");
        }
    }
}
