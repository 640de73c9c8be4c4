//! What need not be kept for ever is forgotten.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use observability::logs::error_chain;
use tokio_util::sync::CancellationToken;

use crate::application::ports::{Housekeeping, RepositoryError};

/// How long used events and finished emails are kept: far longer than any redelivery, dead letters sent again included.
pub const KEEP: Duration = Duration::from_hours(30 * 24);
/// How often it is looked after.
const EVERY: Duration = Duration::from_hours(1);

/// The use case.
pub struct ForgetOld {
    housekeeping: Arc<dyn Housekeeping>,
    clock: Arc<dyn Clock>,
}

impl ForgetOld {
    /// The use case with its ports.
    pub fn new(housekeeping: Arc<dyn Housekeeping>, clock: Arc<dyn Clock>) -> Self {
        Self { housekeeping, clock }
    }

    /// Forgets what is older than [`KEEP`].
    ///
    /// # Errors
    /// When the store failed; nothing was forgotten.
    pub async fn run_once(&self) -> Result<(), RepositoryError> {
        self.housekeeping.forget_before(self.clock.now().minus(KEEP)).await
    }

    /// Forgets now and then until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        while tokio::time::timeout(EVERY, stop.cancelled()).await.is_err() {
            if let Err(error) = self.run_once().await {
                tracing::warn!(error = %error_chain(&error), "old rows could not be forgotten, trying again later");
            }
        }
    }
}
