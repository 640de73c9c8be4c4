//! Tells the reconciler that there is something new to look at.

use std::sync::Arc;

use tokio::sync::Notify;

/// A signal within the process; clones share it. One that was raised while nobody waited is kept.
#[derive(Clone, Debug, Default)]
pub struct WakeSignal(Arc<Notify>);

impl WakeSignal {
    /// Wakes the reconciler.
    pub fn raise(&self) {
        self.0.notify_one();
    }

    /// Waits for the signal.
    pub async fn raised(&self) {
        self.0.notified().await;
    }

    /// A guard over an intent: raises the signal when dropped, unless the intent was settled. It covers errors on the way
    /// and callers that went away, whose work is dropped wherever it is.
    pub(super) fn unless_settled(&self) -> WakeGuard {
        WakeGuard { signal: self.clone(), settled: false }
    }
}

/// See [`WakeSignal::unless_settled`].
pub(super) struct WakeGuard {
    signal: WakeSignal,
    settled: bool,
}

impl WakeGuard {
    /// Nothing is left to reconcile.
    pub(super) fn settled(mut self) {
        self.settled = true;
    }
}

impl Drop for WakeGuard {
    fn drop(&mut self) {
        if !self.settled {
            self.signal.raise();
        }
    }
}
