//! How much is told live, and how late.

use std::sync::LazyLock;
use std::time::Duration;

use observability::metrics;
use prometheus::{HistogramVec, IntCounterVec};

/// The transport of server-sent events, as a label.
pub(super) const SSE: &str = "sse";

static FANOUT: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time from an event to its being handed to the open connections of its user.";
    metrics::histogram("realtime_fanout_seconds", help, &[])
});
static PUSHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter("realtime_pushed_total", "Inbox entries written to open connections.", &["transport"])
});

/// An entry was handed to whoever listens, so long after its event. Not observed where nobody does.
pub(super) fn observe_fanout(since_event: Duration) {
    metrics::observe(&FANOUT, &[], since_event);
}

/// Entries go out over one connection.
pub(super) fn count_pushed(transport: &'static str, entries: u64) {
    if metrics::enabled() {
        PUSHED.with_label_values(&[transport]).inc_by(entries);
    }
}
