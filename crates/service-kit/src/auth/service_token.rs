//! Tokens by which services know each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::{Clock, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::crypto;

/// `typ` of a service token.
const TOKEN_TYPE: &str = "souk-service+jwt";
/// Life of a service token: long enough to be reused, short enough to be of little use to a thief.
const TTL: Duration = Duration::from_mins(2);
/// A token is replaced when less than this is left of it.
const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
}

/// The name of a service and the means to prove it.
pub struct ServiceIdentity {
    name: &'static str,
    clock: Arc<dyn Clock>,
    signing: EncodingKey,
    verifying: DecodingKey,
    issued: Mutex<HashMap<&'static str, (Arc<str>, Timestamp)>>,
}

impl ServiceIdentity {
    /// The identity of `name`; services that trust each other share the secret.
    pub fn new(name: &'static str, secret: &SecretString, clock: Arc<dyn Clock>) -> Self {
        crypto::install();
        let secret = secret.expose_secret().as_bytes();
        Self {
            name,
            clock,
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            issued: Mutex::default(),
        }
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A token that `callee`, and nobody else, accepts as coming from this service.
    pub fn token_for(&self, callee: &'static str) -> Arc<str> {
        let now = self.clock.now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, expires_at)) = issued.get(callee)
            && *expires_at > now.plus(RENEW_BEFORE)
        {
            return Arc::clone(token);
        }
        let expires_at = now.plus(TTL);
        let header = Header { typ: Some(TOKEN_TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        let claims = Claims { iss: self.name.to_owned(), aud: callee.to_owned(), exp: expires_at.unix_ms() / 1000 };
        let token: Arc<str> = jsonwebtoken::encode(&header, &claims, &self.signing)
            .expect("an HMAC of plain claims has no way to fail")
            .into();
        issued.insert(callee, (Arc::clone(&token), expires_at));
        token
    }

    /// The name of the service that sent this token to us, if it is one for us and still good.
    pub fn verify(&self, token: &str) -> Option<Arc<str>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::HS256 || header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[self.name]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        // Checked below, against the clock that this service was given.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation).ok()?.claims;
        let expires_at = Timestamp::from_unix_ms(claims.exp.saturating_mul(1000));
        (expires_at.plus(LEEWAY) > self.clock.now()).then(|| claims.iss.into())
    }
}

#[cfg(test)]
mod tests {
    use contracts::timestamp::ManualClock;

    use super::*;

    fn identity(name: &'static str, secret: &str, clock: &ManualClock) -> ServiceIdentity {
        ServiceIdentity::new(name, &SecretString::from(secret.to_owned()), Arc::new(clock.clone()))
    }

    #[test]
    fn only_the_named_callee_accepts_a_token_and_only_for_a_while() {
        let clock = ManualClock::starting_at(Timestamp::from_unix_ms(1_800_000_000_000));
        let (orders, payment) = (identity("orders", "s", &clock), identity("payment", "s", &clock));
        let token = orders.token_for("payment");
        assert_eq!(payment.verify(&token).as_deref(), Some("orders"));
        assert_eq!(identity("inventory", "s", &clock).verify(&token), None);
        assert_eq!(identity("payment", "other", &clock).verify(&token), None);
        assert_eq!(orders.token_for("payment"), token, "a fresh token is reused");
        clock.advance(TTL + LEEWAY + Duration::from_secs(1));
        assert_eq!(payment.verify(&token), None);
        assert_eq!(payment.verify(&orders.token_for("payment")).as_deref(), Some("orders"));
    }
}
