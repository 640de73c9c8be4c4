//! Rotate: a new signing key when there is none or the newest has signed long enough; it signs once every replica has it.

use std::sync::Arc;

use contracts::Clock;

use crate::application::ports::{
    AccessTokens, RepositoryError, SigningKeyGenerator, SigningKeyRepository, UnusableKey,
};
use crate::domain::{KeySet, PUBLISHED_BEFORE_USE};

/// How often to try again when another replica added a key at the same time.
const MAX_TRIES: usize = 3;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum RotateKeysError {
    /// The store failed.
    #[error("signing keys could not be read or written")]
    Store(#[source] RepositoryError),
    /// A stored key is none.
    #[error("a stored signing key can't be used")]
    Unusable(#[source] UnusableKey),
}

/// The keys in the store.
#[derive(Clone)]
pub struct SigningKeys {
    /// Where they are kept.
    pub repository: Arc<dyn SigningKeyRepository>,
    /// Makes new ones.
    pub generator: Arc<dyn SigningKeyGenerator>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl SigningKeys {
    /// The keys, after adding one if that is due.
    ///
    /// # Errors
    /// [`RotateKeysError::Store`].
    pub async fn current(&self) -> Result<KeySet, RotateKeysError> {
        let mut tries = 0;
        loop {
            let now = self.clock.now();
            let keys = KeySet::of(self.repository.list().await.map_err(RotateKeysError::Store)?);
            let newest = match keys {
                Some(keys) if !keys.newest().is_due(now) => return Ok(keys),
                keys => keys.map(|keys| keys.newest().kid.clone()),
            };
            // Replicas hear of a successor before it signs. The very first key has nobody to be told: who starts at the same
            // time finds it in the store, or is refused and finds it then.
            let signs_from = if newest.is_some() { now.plus(PUBLISHED_BEFORE_USE) } else { now };
            let key = self.generator.generate(signs_from);
            let kid = key.kid.clone();
            tries += 1;
            match self.repository.succeed(key, newest).await {
                Ok(()) => tracing::info!(kid, %signs_from, "there is a new signing key for access tokens"),
                // Another replica added one: its key is as good.
                Err(RepositoryError::Conflict) if tries < MAX_TRIES => {}
                Err(error) => return Err(RotateKeysError::Store(error)),
            }
        }
    }
}

/// The use case.
pub struct RotateKeys {
    /// The keys in the store.
    pub keys: SigningKeys,
    /// What signs with them.
    pub access_tokens: Arc<dyn AccessTokens>,
}

impl RotateKeys {
    /// Takes over the keys of the store, adding one if that is due: it is published at once and signs
    /// [`PUBLISHED_BEFORE_USE`] later; the one before stays published until its tokens have expired.
    ///
    /// # Errors
    /// [`RotateKeysError`]; the keys that signed before go on.
    pub async fn execute(&self) -> Result<(), RotateKeysError> {
        let keys = self.keys.current().await?;
        self.access_tokens.install(&keys).map_err(RotateKeysError::Unusable)
    }
}
