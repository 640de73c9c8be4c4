//! Who is calling.
//!
//! Calls for a user carry the user's access token (EdDSA, verified with the keys that users publishes). Background calls
//! carry a service token: short-lived, signed with the secret that Souk's services share, bound to one callee.
//! The two can't stand in for each other: each verifier accepts one algorithm and one token type.
//!
//! Source: docs/adr/0005-tokens.md; RFC 7519, RFC 8037, RFC 8725 (algorithm and type pinned), RFC 9068.

mod caller;
mod crypto;
mod keys;
mod service_token;
mod user_token;

pub use caller::{Caller, UserCaller};
pub use keys::{KeysUnavailable, RemoteKeys, VerificationKeys, VerifyingKey};
pub use service_token::ServiceIdentity;
pub use user_token::{ACCESS_TOKEN_TTL, UserTokenClaims, UserTokenSigner, UserTokenVerifier, generate_signing_key};

use contracts::{Reason, Refusal};

/// The `iss` of every token that Souk issues, and the `aud` of access tokens.
pub const ISSUER: &str = "souk";

/// Turns the `Authorization` value of a call into a caller.
pub struct Authenticator {
    identity: std::sync::Arc<ServiceIdentity>,
    users: std::sync::Arc<UserTokenVerifier>,
}

impl Authenticator {
    /// An authenticator of the service with this identity.
    pub fn new(identity: std::sync::Arc<ServiceIdentity>, users: std::sync::Arc<UserTokenVerifier>) -> Self {
        Self { identity, users }
    }

    /// The caller; [`Caller::Anonymous`] when nothing was presented.
    ///
    /// # Errors
    /// `INVALID_TOKEN` for a token that does not verify, `UNAVAILABLE` when the keys can't be had.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let Some(authorization) = authorization else {
            return Ok(Caller::Anonymous);
        };
        let token = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| Refusal::new(Reason::InvalidToken, "the Authorization header is not 'Bearer <token>'"))?;
        if let Some(service) = self.identity.verify(token) {
            return Ok(Caller::Service(service));
        }
        self.users.verify(token).await.map(Caller::User)
    }
}
