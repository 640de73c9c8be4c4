//! Takes up sagas that are due: put off, or left behind by an instance that died.

use std::time::Duration;

use contracts::Timestamp;
use observability::RequestContext;
use observability::logs::error_chain;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::application::error::OrderError;
use crate::application::ordering::Ordering;
use crate::application::saga::{self, LEASE, Verdict};
use crate::metrics;

/// Most sagas taken up at once.
const BATCH: usize = 64;
/// No more are taken up while so many run.
const MAX_RUNNING: usize = 512;
/// Old idempotency keys are forgotten this often.
const FORGET_KEYS_EVERY: Duration = Duration::from_hours(1);
/// What is unfinished is counted this often.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Looks at most this often.
const MIN_SLEEP: Duration = Duration::from_millis(20);
/// Looks at least this often: another replica may have died without a word.
pub const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// Wait after the store failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);

impl Ordering {
    /// Takes up every saga that is due, [`BATCH`] at most; returns one receiver for each, which hears how its run ended.
    ///
    /// # Errors
    /// [`OrderError::Store`].
    pub async fn take_up_due(&self) -> Result<Vec<oneshot::Receiver<Verdict>>, OrderError> {
        let now = self.clock.now();
        let owner = self.ids.new_uuid().to_string();
        let claimed = self.repository.claim_due(now, &owner, now.plus(LEASE), BATCH).await?;
        let mut runs = Vec::with_capacity(claimed.len());
        for (order, saga) in claimed {
            // It goes on in the name of the request that placed the order; where the store can't tell, in its own.
            let cause = self.repository.find_cause(order.id()).await.unwrap_or_default();
            let context = cause.map_or_else(RequestContext::background, |cause| cause.context());
            let _entered = context.enter();
            tracing::info!(order.id = %order.id(), step = saga.state().as_str(), "checkout is taken up");
            runs.push(saga::spawn(self, order, saga));
        }
        Ok(runs)
    }

    /// Takes up sagas as they become due, until `stop` is cancelled; sleeps in between.
    pub async fn resume_until(&self, stop: CancellationToken) {
        let (mut keys_due, mut count_due) = (self.clock.now(), self.clock.now());
        while !stop.is_cancelled() {
            let wait = match self.resume_round(&mut keys_due).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "due checkouts could not be read");
                    RETRY_WAIT
                }
            };
            self.count_round(&mut count_due).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.due.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// For whoever watches: nothing waits for it, and what can't be counted now is counted later.
    async fn count_round(&self, due: &mut Timestamp) {
        let now = self.clock.now();
        if now < *due {
            return;
        }
        *due = now.plus(COUNT_EVERY);
        match self.repository.count_unfinished().await {
            Ok(found) => metrics::set_unfinished(found.sagas, found.oldest_pending.map(|placed| now.since(placed))),
            Err(error) => tracing::debug!(error = %error_chain(&error), "unfinished checkouts could not be counted"),
        }
    }

    async fn resume_round(&self, keys_due: &mut Timestamp) -> Result<Duration, OrderError> {
        while self.running.len() < MAX_RUNNING && self.take_up_due().await?.len() == BATCH {}
        let now = self.clock.now();
        if *keys_due <= now {
            self.repository.forget_old_keys(now).await?;
            *keys_due = now.plus(FORGET_KEYS_EVERY);
        }
        let next = self.repository.next_due().await?;
        Ok(next.map_or(LOOK_AT_LEAST_EVERY, |due| due.since(self.clock.now()).clamp(MIN_SLEEP, LOOK_AT_LEAST_EVERY)))
    }
}
