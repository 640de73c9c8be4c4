//! The pair of tokens that a log-in, a registration and a refresh end with.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::{SessionId, UserId};
use contracts::{IdGenerator, Timestamp};
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::application::ports::{AccessTokens, NewSession, RefreshTokens};
use crate::domain::{RefreshToken, Session, User};

/// A session as its holder gets it.
#[derive(Debug)]
pub struct IssuedSession {
    /// Whose.
    pub user: User,
    /// Good for `expires_in`.
    pub access_token: String,
    /// Good once.
    pub refresh_token: RefreshToken,
    /// Life of the access token.
    pub expires_in: Duration,
}

/// Makes tokens.
#[derive(Clone)]
pub struct SessionIssuer {
    ids: Arc<dyn IdGenerator>,
    refresh_tokens: Arc<dyn RefreshTokens>,
    access_tokens: Arc<dyn AccessTokens>,
}

impl SessionIssuer {
    /// An issuer of tokens from these sources.
    pub fn new(
        ids: Arc<dyn IdGenerator>,
        refresh_tokens: Arc<dyn RefreshTokens>,
        access_tokens: Arc<dyn AccessTokens>,
    ) -> Self {
        Self { ids, refresh_tokens, access_tokens }
    }

    /// A session to be stored, and the refresh token for its holder.
    pub fn open(&self, user_id: UserId, now: Timestamp) -> (NewSession, RefreshToken) {
        let token = self.refresh_tokens.generate();
        let session = Session::begin(SessionId::from_uuid(self.ids.new_uuid()), user_id, now);
        (NewSession { session, token: self.refresh_tokens.digest(&token) }, token)
    }

    /// Hands out a stored session. `now` is a moment before the user was read: a change of roles after it voids the token.
    pub fn grant(
        &self,
        user: User,
        session_id: SessionId,
        refresh_token: RefreshToken,
        now: Timestamp,
    ) -> IssuedSession {
        let access_token = self.access_tokens.sign(user.id(), session_id, user.roles(), user.token_time(now));
        IssuedSession { user, access_token, refresh_token, expires_in: ACCESS_TOKEN_TTL }
    }
}
