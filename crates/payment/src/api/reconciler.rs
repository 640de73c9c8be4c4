//! Runs the reconciliation when something is due.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use observability::logs::error_chain;
use tokio_util::sync::CancellationToken;

use crate::application::reconcile::ReconcilePayments;
use crate::application::wake::WakeSignal;

/// Wait after the store failed, so that it is not hammered.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Longest sleep: covers what another replica left behind and a clock that was set.
const MAX_SLEEP: Duration = Duration::from_mins(1);

/// Reconciles until `stop` is cancelled; sleeps until the next thing is due or `wake` is raised.
///
/// A step is dropped where it is when `stop` is cancelled: what it did not finish is still due.
pub async fn run(reconcile: ReconcilePayments, wake: WakeSignal, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        let step = tokio::select! {
            () = stop.cancelled() => return,
            step = reconcile.execute() => step,
        };
        let wait = match step {
            Ok(done) if done.failed > 0 => STORE_RETRY,
            Ok(done) => done.next_due_at.map_or(MAX_SLEEP, |due_at| due_at.since(clock.now()).min(MAX_SLEEP)),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "it can't be told which payments are due");
                STORE_RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.raised() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
