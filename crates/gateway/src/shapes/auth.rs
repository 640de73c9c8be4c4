//! Signing in and out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::grpc::users;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::BadAnswer;
use super::user::User;

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Unique, in any case.
    #[schema(example = "grace@example.com")]
    pub email: String,
    /// At least 8 characters.
    #[schema(format = Password, example = "correct horse battery")]
    pub password: String,
    /// As the shop addresses its owner.
    #[schema(example = "Grace Hopper")]
    pub name: String,
    /// Whether to set the cookie `souk_access` as well: the access token, for pages of the origins that are listed.
    #[serde(default)]
    pub cookie: bool,
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's address.
    #[schema(example = "ada@souk.test")]
    pub email: String,
    /// The account's password.
    #[schema(format = Password, example = "souk-demo-1")]
    pub password: String,
    /// Whether to set the cookie `souk_access` as well: the access token, for pages of the origins that are listed.
    #[serde(default)]
    pub cookie: bool,
}

/// A refresh token, for the next pair of tokens.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// As it was given; it works once.
    pub refresh_token: String,
    /// Whether to set the cookie `souk_access` as well: the access token, for pages of the origins that are listed.
    #[serde(default)]
    pub cookie: bool,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    /// As it was given; it works once.
    pub refresh_token: String,
}

/// Tokens of a sign-in.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Who signed in; left out of the answer to a refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<User>,
    /// Goes into `Authorization: Bearer …`.
    pub access_token: String,
    /// Gets the next pair of tokens, once.
    pub refresh_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Life of the access token, in seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
}

impl Session {
    /// The answer to a registration or a log-in.
    ///
    /// # Errors
    /// When users left the user out.
    pub fn with_user(session: users::Session) -> Result<Self, BadAnswer> {
        if session.user.is_none() {
            return Err(BadAnswer("a session without its user"));
        }
        Ok(Self::of(session))
    }

    /// The answer to a refresh.
    pub fn without_user(session: users::Session) -> Self {
        Self::of(users::Session { user: None, ..session })
    }

    fn of(session: users::Session) -> Self {
        Self {
            user: session.user.map(User::from),
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            token_type: "Bearer",
            expires_in: session.expires_in_seconds,
        }
    }
}

/// The public keys of access tokens (RFC 7517 §5).
#[derive(Serialize, ToSchema)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// An Ed25519 public key (RFC 8037 §2).
#[derive(Serialize, ToSchema)]
pub struct Jwk {
    /// Key type.
    #[schema(example = "OKP")]
    pub kty: &'static str,
    /// Curve.
    #[schema(example = "Ed25519")]
    pub crv: &'static str,
    /// It verifies signatures.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    pub usage: &'static str,
    /// Algorithm.
    #[schema(example = "EdDSA")]
    pub alg: &'static str,
    /// The `kid` of tokens signed with it.
    pub kid: String,
    /// The key, base64url without padding.
    pub x: String,
}

impl From<users::GetJwksResponse> for Jwks {
    fn from(response: users::GetJwksResponse) -> Self {
        let keys = response.keys.into_iter().map(|key| Jwk {
            kty: "OKP",
            crv: "Ed25519",
            usage: "sig",
            alg: "EdDSA",
            kid: key.kid,
            x: URL_SAFE_NO_PAD.encode(key.public_key),
        });
        Self { keys: keys.collect() }
    }
}
