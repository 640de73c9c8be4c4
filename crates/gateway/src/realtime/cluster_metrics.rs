//! How the way to the other gateways does.

use std::sync::LazyLock;
use std::time::Duration;

use observability::metrics;
use prometheus::{IntCounterVec, IntGaugeVec};
use socketio::adapter::{RedisStreams, RedisStreamsStats};
use tokio_util::sync::CancellationToken;

/// How often the adapter's counters are carried over into the metrics.
const CARRY_EVERY: Duration = Duration::from_secs(1);

static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Events on the way between gateways: waiting here to be sent, or in the stream and not read here yet.";
    metrics::gauge("socketio_cluster_lag", help, &["way"])
});
static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "What the way to the other gateways did and could not do, by kind.";
    metrics::counter("socketio_cluster_total", help, &["kind"])
});

type Kind = (&'static str, fn(&RedisStreamsStats) -> u64);

const KINDS: [Kind; 8] = [
    ("published", |s| s.published),
    ("read", |s| s.read),
    ("dropped", |s| s.dropped),
    ("malformed", |s| s.malformed),
    ("missed", |s| s.missed),
    ("store_reset", |s| s.store_resets),
    ("connection_failure", |s| s.connection_failures),
    ("session_superseded", |s| s.superseded),
];

/// Carries the adapter's counters over until `stop` is cancelled.
pub(super) async fn run(streams: RedisStreams, stop: CancellationToken) {
    let mut before = RedisStreamsStats::default();
    loop {
        let now = streams.stats();
        if metrics::enabled() {
            for (way, events) in [("out", now.queued), ("in", now.behind)] {
                LAG.with_label_values(&[way]).set(i64::try_from(events).unwrap_or(i64::MAX));
            }
            for (kind, counter) in KINDS {
                EVENTS.with_label_values(&[kind]).inc_by(counter(&now).saturating_sub(counter(&before)));
            }
        }
        before = now;
        if tokio::time::timeout(CARRY_EVERY, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
