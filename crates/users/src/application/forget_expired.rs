//! Forget: deletes what is over.

use std::sync::Arc;

use contracts::Clock;
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::application::end_session::MARGIN;
use crate::application::ports::{RepositoryError, SessionRepository, SigningKeyRepository};

/// The use case.
pub struct ForgetExpired {
    /// Sessions and revocations.
    pub sessions: Arc<dyn SessionRepository>,
    /// Keys.
    pub keys: Arc<dyn SigningKeyRepository>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl ForgetExpired {
    /// Deletes sessions and revocations that are over, and keys whose tokens have all expired.
    ///
    /// # Errors
    /// The store failed; what is left is deleted the next time.
    pub async fn execute(&self) -> Result<(), RepositoryError> {
        let now = self.clock.now();
        let mut forgotten = 0;
        loop {
            match self.sessions.forget_expired(now).await? {
                0 => break,
                some => forgotten += some,
            }
        }
        let keys = self.keys.forget_retired(now.minus(ACCESS_TOKEN_TTL + MARGIN)).await?;
        tracing::debug!(sessions_and_revocations = forgotten, keys, "what is over was forgotten");
        Ok(())
    }
}
