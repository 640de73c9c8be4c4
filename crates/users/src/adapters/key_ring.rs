//! The keys in memory: signing and publishing ask no store.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use contracts::ids::{SessionId, UserId};
use contracts::{Clock, IdGenerator, Role, Timestamp};
use service_kit::auth::{
    ACCESS_TOKEN_TTL, KeysUnavailable, UserTokenSigner, VerificationKeys, VerifyingKey, generate_signing_key,
};

use crate::application::end_session::MARGIN;
use crate::application::ports::{AccessTokens, PublishedKey, SigningKeyGenerator, UnusableKey};
use crate::domain::{KeySet, Roles, SigningKey};

/// Signs with the key whose time it is, and publishes those whose tokens may be unexpired or will come.
pub struct KeyRing {
    clock: Arc<dyn Clock>,
    keys: RwLock<Keys>,
}

struct Keys {
    set: KeySet,
    /// By kid: one for each key of the set.
    signers: HashMap<String, Arc<UserTokenSigner>>,
    published: Arc<[Published]>,
}

struct Published {
    key: VerifyingKey,
    /// `None` for the newest.
    until: Option<Timestamp>,
}

impl Published {
    fn is_current(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl KeyRing {
    /// A ring of these keys.
    ///
    /// # Errors
    /// [`UnusableKey`].
    pub fn new(keys: &KeySet, clock: Arc<dyn Clock>) -> Result<Self, UnusableKey> {
        Ok(Self { clock, keys: RwLock::new(Keys::of(keys)?) })
    }

    fn published_keys(&self) -> Arc<[Published]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner).published)
    }
}

impl Keys {
    fn of(keys: &KeySet) -> Result<Self, UnusableKey> {
        let mut signers = HashMap::new();
        let mut published = Vec::new();
        for key in std::iter::once(keys.newest()).chain(keys.retired()) {
            let signer = signer_of(key)?;
            let until = (key.kid != keys.newest().kid).then(|| {
                let retired_at = key.retired_at.unwrap_or(keys.newest().created_at);
                retired_at.plus(ACCESS_TOKEN_TTL + MARGIN)
            });
            published.push(Published { key: signer.verifying_key(), until });
            signers.insert(key.kid.clone(), Arc::new(signer));
        }
        Ok(Self { set: keys.clone(), signers, published: published.into() })
    }

    fn signer_at(&self, now: Timestamp) -> Arc<UserTokenSigner> {
        Arc::clone(&self.signers[&self.set.signing_at(now).kid])
    }
}

fn signer_of(key: &SigningKey) -> Result<UserTokenSigner, UnusableKey> {
    UserTokenSigner::new(key.kid.clone(), &key.pkcs8).ok_or_else(|| UnusableKey { kid: key.kid.clone() })
}

impl AccessTokens for KeyRing {
    fn sign(&self, user_id: UserId, session_id: SessionId, roles: &Roles, issued_at: Timestamp) -> String {
        let signer = self.keys.read().unwrap_or_else(PoisonError::into_inner).signer_at(self.clock.now());
        let roles: Vec<Role> = roles.iter().collect();
        signer.sign(user_id, session_id, &roles, issued_at)
    }

    fn published(&self, now: Timestamp) -> Vec<PublishedKey> {
        let keys = self.published_keys();
        let current = keys.iter().filter(|published| published.is_current(now));
        current
            .map(|published| PublishedKey {
                kid: published.key.kid.clone(),
                public_key: published.key.public_key.clone(),
            })
            .collect()
    }

    fn install(&self, keys: &KeySet) -> Result<(), UnusableKey> {
        let keys = Keys::of(keys)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

/// The users service verifies its own callers with the keys it has, not by asking itself.
#[async_trait]
impl VerificationKeys for KeyRing {
    async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysUnavailable> {
        let (keys, now) = (self.published_keys(), self.clock.now());
        let found = keys.iter().find(|published| published.key.kid == kid && published.is_current(now));
        Ok(found.map(|published| published.key.clone()))
    }
}

/// Ed25519 keys from the system's randomness, named by ids.
pub struct Ed25519KeyGenerator {
    ids: Arc<dyn IdGenerator>,
}

impl Ed25519KeyGenerator {
    /// A generator that names keys with these ids.
    pub fn new(ids: Arc<dyn IdGenerator>) -> Self {
        Self { ids }
    }
}

impl SigningKeyGenerator for Ed25519KeyGenerator {
    fn generate(&self, signs_from: Timestamp) -> SigningKey {
        let kid = self.ids.new_uuid().to_string();
        SigningKey { kid, pkcs8: generate_signing_key(), created_at: signs_from, retired_at: None }
    }
}

#[cfg(test)]
mod tests {
    use contracts::ids::UuidV7Generator;
    use contracts::timestamp::ManualClock;
    use service_kit::auth::UserTokenVerifier;
    use uuid::Uuid;

    use super::*;

    fn kids(ring: &KeyRing, now: Timestamp) -> Vec<String> {
        ring.published(now).into_iter().map(|key| key.kid).collect()
    }

    #[tokio::test]
    async fn a_retired_key_verifies_until_its_last_token_has_expired_and_signs_no_more() {
        let clock = ManualClock::starting_at(Timestamp::from_unix_ms(1_800_000_000_000));
        let generator = Ed25519KeyGenerator::new(Arc::new(UuidV7Generator));
        let old = generator.generate(clock.now());
        let set = KeySet::of(vec![old.clone()]).unwrap();
        let ring = Arc::new(KeyRing::new(&set, Arc::new(clock.clone())).unwrap());
        let verifier = UserTokenVerifier::new(Arc::clone(&ring) as _, Arc::new(clock.clone()));
        let (user, session) = (UserId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)));
        let before = ring.sign(user, session, &Roles::customer(), clock.now());

        let new = generator.generate(clock.now());
        let retired = SigningKey { retired_at: Some(clock.now()), ..old.clone() };
        ring.install(&KeySet::of(vec![retired, new.clone()]).unwrap()).unwrap();
        let after = ring.sign(user, session, &Roles::customer(), clock.now());
        assert!(verifier.verify(&before).await.is_ok() && verifier.verify(&after).await.is_ok());
        assert_eq!(kids(&ring, clock.now()), [new.kid.clone(), old.kid.clone()]);

        clock.advance(ACCESS_TOKEN_TTL);
        assert!(ring.find(&old.kid).await.unwrap().is_some());
        clock.advance(MARGIN);
        assert!(ring.find(&old.kid).await.unwrap().is_none());
        assert_eq!(kids(&ring, clock.now()), [new.kid]);
    }

    #[test]
    fn a_stored_key_that_is_none_is_named_and_changes_nothing() {
        let clock = ManualClock::starting_at(Timestamp::from_unix_ms(0));
        let good = Ed25519KeyGenerator::new(Arc::new(UuidV7Generator)).generate(clock.now());
        let ring = KeyRing::new(&KeySet::of(vec![good.clone()]).unwrap(), Arc::new(clock.clone())).unwrap();
        let bad = SigningKey { kid: "bad".to_owned(), pkcs8: vec![1, 2, 3], ..good.clone() };
        assert_eq!(ring.install(&KeySet::of(vec![bad]).unwrap()).unwrap_err().kid, "bad");
        assert_eq!(kids(&ring, clock.now()), [good.kid]);
    }
}
