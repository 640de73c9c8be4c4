//! Access tokens of users.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::ids::{SessionId, UserId};
use contracts::{Clock, Reason, Refusal, Role, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use super::caller::UserCaller;
use super::keys::{KeysUnavailable, VerificationKeys, VerifyingKey};
use super::{ISSUER, crypto};

/// Life of an access token (docs/adr/0005).
pub const ACCESS_TOKEN_TTL: Duration = Duration::from_mins(15);
/// `typ` of an access token (RFC 9068 §2.1).
const TOKEN_TYPE: &str = "at+jwt";
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(5);
/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 4096;
/// Verified tokens remembered: a signature is checked once, not once a call.
const CACHE_CAPACITY: usize = 10_000;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserTokenClaims {
    /// Always [`ISSUER`].
    pub iss: String,
    /// Always [`ISSUER`].
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The sign-in.
    pub sid: SessionId,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// When it was issued, seconds.
    pub iat: i64,
    /// The same in milliseconds: a revocation and the next log-in may fall into one second.
    pub iat_ms: i64,
    /// When it ends, seconds.
    pub exp: i64,
}

/// Makes a new Ed25519 key pair, as PKCS#8.
///
/// # Panics
/// When the system has no randomness.
pub fn generate_signing_key() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the system has randomness").as_ref().to_vec()
}

/// Signs access tokens.
pub struct UserTokenSigner {
    kid: String,
    key: EncodingKey,
    public_key: Vec<u8>,
}

impl UserTokenSigner {
    /// A signer with a key from [`generate_signing_key`]; `None` if the bytes are no such key.
    pub fn new(kid: String, pkcs8: &[u8]) -> Option<Self> {
        crypto::install();
        let public_key = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?.public_key().as_ref().to_vec();
        Some(Self { kid, key: EncodingKey::from_ed_der(pkcs8), public_key })
    }

    /// The public half, to be published.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { kid: self.kid.clone(), public_key: self.public_key.clone() }
    }

    /// A token for this user, good for [`ACCESS_TOKEN_TTL`] from `now`.
    pub fn sign(&self, user_id: UserId, session_id: SessionId, roles: &[Role], now: Timestamp) -> String {
        let claims = UserTokenClaims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user_id,
            sid: session_id,
            roles: roles.to_vec(),
            iat: now.unix_ms() / 1000,
            iat_ms: now.unix_ms(),
            exp: now.plus(ACCESS_TOKEN_TTL).unix_ms() / 1000,
        };
        let header =
            Header { typ: Some(TOKEN_TYPE.to_owned()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.key).expect("the key was checked when the signer was made")
    }
}

/// Verifies access tokens.
pub struct UserTokenVerifier {
    keys: Arc<dyn VerificationKeys>,
    clock: Arc<dyn Clock>,
    verified: Mutex<HashMap<Box<str>, Arc<UserCaller>>>,
}

impl UserTokenVerifier {
    /// A verifier with these keys.
    pub fn new(keys: Arc<dyn VerificationKeys>, clock: Arc<dyn Clock>) -> Self {
        crypto::install();
        Self { keys, clock, verified: Mutex::default() }
    }

    /// The user that the token stands for.
    ///
    /// # Errors
    /// `INVALID_TOKEN`; `UNAVAILABLE` when the keys can't be had.
    pub async fn verify(&self, token: &str) -> Result<Arc<UserCaller>, Refusal> {
        let now = self.clock.now();
        let cached = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let user = match cached {
            Some(user) => user,
            None => {
                let user = Arc::new(self.check_signature(token).await?);
                let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
                if verified.len() >= CACHE_CAPACITY {
                    verified.clear();
                }
                verified.insert(token.into(), Arc::clone(&user));
                user
            }
        };
        if user.expires_at.plus(LEEWAY) <= now {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
            return Err(Refusal::new(Reason::InvalidToken, "the access token has expired"));
        }
        Ok(user)
    }

    async fn check_signature(&self, token: &str) -> Result<UserCaller, Refusal> {
        let invalid = || Refusal::new(Reason::InvalidToken, Reason::InvalidToken.title());
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TOKEN_TYPE) {
            return Err(invalid());
        }
        let kid = header.kid.ok_or_else(invalid)?;
        let key = self.keys.find(&kid).await.map_err(|KeysUnavailable| {
            Refusal::new(Reason::Unavailable, "access tokens can't be verified now").retry_after(Duration::from_secs(1))
        })?;
        let key = DecodingKey::from_ed_der(&key.ok_or_else(invalid)?.public_key);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Checked by the caller, against the clock that this service was given, also for remembered tokens.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<UserTokenClaims>(token, &key, &validation).map_err(|_| invalid())?.claims;
        Ok(UserCaller {
            user_id: claims.sub,
            session_id: claims.sid,
            roles: claims.roles,
            issued_at: Timestamp::from_unix_ms(claims.iat_ms),
            expires_at: Timestamp::from_unix_ms(claims.exp.saturating_mul(1000)),
        })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use contracts::timestamp::ManualClock;
    use uuid::Uuid;

    use super::*;

    struct OneKey(VerifyingKey);

    #[async_trait]
    impl VerificationKeys for OneKey {
        async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysUnavailable> {
            Ok((kid == self.0.kid).then(|| self.0.clone()))
        }
    }

    fn fixture() -> (ManualClock, UserTokenSigner, UserTokenVerifier) {
        let clock = ManualClock::starting_at(Timestamp::from_unix_ms(1_800_000_000_000));
        let signer = UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap();
        let verifier = UserTokenVerifier::new(Arc::new(OneKey(signer.verifying_key())), Arc::new(clock.clone()));
        (clock, signer, verifier)
    }

    fn ids() -> (UserId, SessionId) {
        (UserId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)))
    }

    #[tokio::test]
    async fn a_signed_token_names_its_user_until_it_expires_even_when_remembered() {
        let (clock, signer, verifier) = fixture();
        let token = signer.sign(ids().0, ids().1, &[Role::Admin], clock.now());
        let user = verifier.verify(&token).await.unwrap();
        assert_eq!((user.user_id, user.session_id, user.has(Role::Admin)), (ids().0, ids().1, true));
        clock.advance(ACCESS_TOKEN_TTL + LEEWAY);
        assert_eq!(verifier.verify(&token).await.unwrap_err().reason, Reason::InvalidToken);
    }

    #[tokio::test]
    async fn forged_foreign_and_unsigned_tokens_are_refused() {
        let (clock, signer, verifier) = fixture();
        let token = signer.sign(ids().0, ids().1, &[], clock.now());
        let other = UserTokenSigner::new("k1".to_owned(), &generate_signing_key()).unwrap();
        let unknown = UserTokenSigner::new("k2".to_owned(), &generate_signing_key()).unwrap();
        let payload = token.split('.').nth(1).unwrap();
        let with_header = |json: &str| {
            use base64::Engine as _;
            format!("{}.{payload}.", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json))
        };
        // HS256 keyed with the public key: the classic algorithm confusion (RFC 8725 §2.1).
        let confused = {
            let header =
                Header { typ: Some(TOKEN_TYPE.into()), kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
            let claims = serde_json::json!({"iss": ISSUER, "aud": ISSUER, "sub": ids().0, "sid": ids().1, "roles": ["admin"],
                "iat": 0, "iat_ms": 0, "exp": i64::MAX / 2000});
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&signer.public_key)).unwrap()
        };
        for forged in [
            other.sign(ids().0, ids().1, &[Role::Admin], clock.now()),
            unknown.sign(ids().0, ids().1, &[Role::Admin], clock.now()),
            with_header(r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#),
            with_header(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#),
            confused,
            format!("{token}x"),
            "x".repeat(MAX_TOKEN_BYTES + 1),
            String::new(),
            "a.b.c".to_owned(),
        ] {
            assert_eq!(verifier.verify(&forged).await.unwrap_err().reason, Reason::InvalidToken, "{forged}");
        }
    }

    #[tokio::test]
    async fn a_token_for_another_audience_is_refused() {
        let (clock, signer, verifier) = fixture();
        let header = Header { typ: Some(TOKEN_TYPE.into()), kid: Some("k1".into()), ..Header::new(Algorithm::EdDSA) };
        let exp = clock.now().unix_ms() / 1000 + 60;
        for (iss, aud) in [("souk", "billing"), ("elsewhere", "souk")] {
            let claims = serde_json::json!({"iss": iss, "aud": aud, "sub": ids().0, "sid": ids().1, "roles": [], "iat": 0, "iat_ms": 0, "exp": exp});
            let token = jsonwebtoken::encode(&header, &claims, &signer.key).unwrap();
            assert_eq!(verifier.verify(&token).await.unwrap_err().reason, Reason::InvalidToken);
        }
    }
}
