//! `auth:refresh` token: a newer token of the same user, so that the connection outlives the one it began with.

use contracts::{Reason, Refusal, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authenticate::{self, ADMIN_REQUIRED, NOT_AUTHORIZED};
use super::call::{Asker, Call};

/// The token, alone or as `{token}`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a token, or {token}")]
pub enum NewToken {
    /// Alone.
    Bare(String),
    /// In an object, as in `auth`.
    Named {
        /// The token.
        token: String,
    },
}

/// Answers `{expires_at}`.
pub async fn refresh(call: Call<NewToken>) {
    call.answer(renew).await;
}

async fn renew(asker: Asker, token: NewToken) -> Result<Value, Refusal> {
    let (NewToken::Bare(token) | NewToken::Named { token }) = token;
    let caller = authenticate::verify(&asker.desk, authenticate::bare(&token)).await?;
    if caller.id() != asker.caller.id() {
        return Err(Refusal::new(Reason::NotAllowed, NOT_AUTHORIZED));
    }
    if asker.socket.namespace() == "/admin" && !caller.user().has(Role::Admin) {
        return Err(Refusal::new(Reason::NotAllowed, ADMIN_REQUIRED));
    }
    let expires_at = caller.user().expires_at;
    asker.session.renew(caller);
    Ok(json!({ "expires_at": expires_at }))
}
