//! Ends the holds that ran out, and says when to look again.

use std::time::Duration;

use super::Inventory;
use super::ports::RepositoryError;

/// Holds ended in one transaction: short enough that a checkout does not wait for it.
const BATCH: usize = 64;
/// Looks again after this long, whatever is known: a hold whose caller went away before it was answered announces itself to
/// nobody, and clocks may jump.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Inventory {
    /// Ends every hold that ran out by now; returns how many.
    ///
    /// # Errors
    /// When the store failed; the rest is found by the next call.
    pub async fn release_expired(&self) -> Result<usize, RepositoryError> {
        let now = self.clock.now();
        let mut released = 0;
        loop {
            let batch = self.reservations.release_expired(now, BATCH).await?;
            released += batch;
            if batch < BATCH {
                return Ok(released);
            }
        }
    }

    /// Ends every hold that ran out, then waits until the next one does, or one that runs out sooner is made.
    ///
    /// # Errors
    /// When the store failed; nothing was waited for.
    pub async fn release_expired_and_wait(&self) -> Result<(), RepositoryError> {
        // Before looking: a hold made from now on is either seen by the look or announced.
        self.expiries.expect_any();
        let released = self.release_expired().await?;
        if released > 0 {
            tracing::info!(released, "holds ran out and were released");
        }
        let next = self.reservations.next_expiry().await?;
        let wait = next.map_or(MAX_WAIT, |at| at.since(self.clock.now()).min(MAX_WAIT));
        // What ran out and is still there could not be ended: trying at once would not help.
        let wait = if wait.is_zero() && released == 0 { MAX_WAIT } else { wait };
        self.expiries.wait(next, wait).await;
        Ok(())
    }
}
