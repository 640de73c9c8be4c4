//! Lets the sweeper sleep until the next hold runs out, although new holds are made all the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contracts::Timestamp;
use tokio::sync::Notify;

/// Knows until when the sweeper sleeps, so that only a hold that runs out sooner wakes it: of many holds with one time to
/// live none does.
pub(super) struct ExpiryWatch {
    awaited: AtomicI64,
    sooner: Notify,
}

impl Default for ExpiryWatch {
    fn default() -> Self {
        Self { awaited: AtomicI64::new(i64::MAX), sooner: Notify::new() }
    }
}

impl ExpiryWatch {
    /// A hold was made that runs out then.
    pub(super) fn announce(&self, expires_at: Timestamp) {
        if expires_at.unix_ms() < self.awaited.load(Ordering::SeqCst) {
            self.sooner.notify_one();
        }
    }

    /// From now on every announcement ends the next wait.
    pub(super) fn expect_any(&self) {
        self.awaited.store(i64::MAX, Ordering::SeqCst);
    }

    /// Waits for `at_most`, or until a hold was announced that runs out before `next`.
    pub(super) async fn wait(&self, next: Option<Timestamp>, at_most: Duration) {
        self.awaited.store(next.map_or(i64::MAX, Timestamp::unix_ms), Ordering::SeqCst);
        let _ = tokio::time::timeout(at_most, self.sooner.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const SOON: Timestamp = Timestamp::from_unix_ms(1_000);
    const LATE: Timestamp = Timestamp::from_unix_ms(2_000);
    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn only_a_hold_that_runs_out_sooner_wakes_the_sweeper() {
        let watch = ExpiryWatch::default();
        let mut wait = Box::pin(watch.wait(Some(SOON), LONG));
        assert!((&mut wait).now_or_never().is_none());
        watch.announce(LATE);
        watch.announce(SOON);
        assert!((&mut wait).now_or_never().is_none(), "it wakes up for these anyway");
        watch.announce(SOON.minus(Duration::from_millis(1)));
        assert!((&mut wait).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_hold_made_while_the_sweeper_looks_is_not_slept_through() {
        let watch = ExpiryWatch::default();
        watch.wait(Some(SOON), Duration::ZERO).await;
        watch.expect_any();
        watch.announce(LATE);
        assert!(watch.wait(None, LONG).now_or_never().is_some());
    }
}
