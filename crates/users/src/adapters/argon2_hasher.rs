//! Password hashes with argon2id.

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, RECOMMENDED_SALT_LEN, Version};
use async_trait::async_trait;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Semaphore;

use crate::application::ports::{HashingError, PasswordHasher};
use crate::domain::{Password, PasswordHash};

/// KiB, passes, lanes: OWASP Password Storage Cheat Sheet, argon2id.
const PARAMS: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Hashes in work at once: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// Hashes in work or waiting; more would only wait for longer than their callers do.
const MAX_QUEUE: usize = 128;
/// Stands in for the hash of an account that does not exist. Nobody's: its answer is thrown away.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c291ay11c2Vycy1ub25lIQ$q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";

/// argon2id on the blocking threads, few at a time.
pub struct Argon2Hasher {
    argon2: Argon2<'static>,
    at_once: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    random: SystemRandom,
}

impl Default for Argon2Hasher {
    fn default() -> Self {
        let (memory_kib, passes, lanes) = PARAMS;
        let params = Params::new(memory_kib, passes, lanes, None).expect("the parameters are within argon2's bounds");
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(MAX_QUEUE)),
            random: SystemRandom::new(),
        }
    }
}

impl Argon2Hasher {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> Result<T, HashingError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| HashingError::Busy)?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| HashingError::Busy)?;
        let argon2 = self.argon2.clone();
        tokio::task::spawn_blocking(move || {
            // Held by the work itself: a caller that goes away does not make room while its hash is still computed.
            let _held = (place, permit);
            work(&argon2)
        })
        .await
        .map_err(|error| HashingError::Failed(error.to_string()))?
    }
}

fn failed(error: impl std::fmt::Display) -> HashingError {
    HashingError::Failed(error.to_string())
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashingError> {
        let mut salt = [0; RECOMMENDED_SALT_LEN];
        self.random.fill(&mut salt).map_err(|_| failed("the system has no randomness"))?;
        self.run(move |argon2| {
            let hash = argon2.hash_password_with_salt(password.expose(), &salt).map_err(failed)?;
            Ok(PasswordHash::new(hash.to_string()))
        })
        .await
    }

    async fn verify(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, HashingError> {
        self.run(move |argon2| {
            let (text, exists) = hash.as_ref().map_or((DUMMY, false), |hash| (hash.as_str(), true));
            let parsed = phc::PasswordHash::new(text).map_err(failed)?;
            match argon2.verify_password(password.expose(), &parsed) {
                Ok(()) => Ok(exists),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn password(text: &str) -> Password {
        Password::attempt(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_alone_is_verified() {
        let hasher = Argon2Hasher::default();
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hasher.verify(password("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(password("battery staple"), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn equal_passwords_have_different_hashes() {
        let hasher = Argon2Hasher::default();
        let (a, b) = tokio::join!(hasher.hash(password("correct horse")), hasher.hash(password("correct horse")));
        assert_ne!(a.unwrap(), b.unwrap());
    }

    #[test]
    fn the_dummy_costs_what_a_real_hash_costs() {
        let dummy = phc::PasswordHash::new(DUMMY).unwrap();
        let (memory_kib, passes, lanes) = PARAMS;
        let params = Params::try_from(&dummy).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (memory_kib, passes, lanes));
        assert_eq!(dummy.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
        assert_eq!(dummy.salt.unwrap().len(), RECOMMENDED_SALT_LEN);
    }

    #[tokio::test]
    async fn without_an_account_the_answer_is_no_and_takes_as_long() {
        let hasher = Argon2Hasher::default();
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        let started = Instant::now();
        assert!(!hasher.verify(password("battery staple"), Some(hash)).await.unwrap());
        let (with_account, started) = (started.elapsed(), Instant::now());
        assert!(!hasher.verify(password("battery staple"), None).await.unwrap());
        // A busy machine may double either; leaving the hash out would make it thousands of times faster.
        assert!(started.elapsed() * 10 > with_account, "{:?} {with_account:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_hash_waits_while_as_many_as_may_be_are_in_work() {
        let hasher = Argon2Hasher::default();
        let in_work = Arc::clone(&hasher.at_once).acquire_many_owned(2).await.unwrap();
        let mut waiting = Box::pin(hasher.hash(password("correct horse")));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err());
        drop(in_work);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_instead_of_queued_without_end() {
        let hasher = Argon2Hasher::default();
        let waiting = Arc::clone(&hasher.queue).acquire_many_owned(MAX_QUEUE as u32).await.unwrap();
        assert!(matches!(hasher.hash(password("correct horse")).await, Err(HashingError::Busy)));
        drop(waiting);
        assert!(hasher.hash(password("correct horse")).await.is_ok());
        assert_eq!(hasher.queue.available_permits(), MAX_QUEUE);
    }

    #[tokio::test]
    async fn a_hash_that_can_not_be_read_is_an_error_and_not_a_wrong_password() {
        let verified = Argon2Hasher::default().verify(password("x"), Some(PasswordHash::new("md5".to_owned()))).await;
        assert!(matches!(verified, Err(HashingError::Failed(_))), "{verified:?}");
    }
}
