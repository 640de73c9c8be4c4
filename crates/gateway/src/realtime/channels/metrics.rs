//! How much is published to channels, and how late.

use std::sync::LazyLock;
use std::time::Duration;

use observability::metrics;
use prometheus::{HistogramVec, IntCounterVec};

/// Kinds of channels, as labels.
pub(super) const ORDER: &str = "order";
pub(super) const PRODUCT: &str = "product";
pub(super) const CATALOGUE: &str = "catalogue";
pub(super) const DASHBOARD: &str = "dashboard";

/// What came of asking, as labels.
const GRANTED: &str = "granted";
const REFUSED: &str = "refused";

static UPDATES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter("realtime_updates_total", "Updates published to channels that somebody watches.", &["channel"])
});
static DELAY: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time from an event to the update of a channel that tells of it.";
    metrics::histogram("realtime_update_delay_seconds", help, &["channel"])
});
static SUBSCRIPTIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter("realtime_subscriptions_total", "Channels asked for, by what came of it.", &["channel", "outcome"])
});

/// Makes the series known, at 0: the first update is a rise.
pub(super) fn announce() {
    for channel in [ORDER, PRODUCT, CATALOGUE, DASHBOARD] {
        UPDATES.with_label_values(&[channel]);
        for outcome in [GRANTED, REFUSED] {
            SUBSCRIPTIONS.with_label_values(&[channel, outcome]);
        }
    }
    for channel in [ORDER, PRODUCT, CATALOGUE] {
        DELAY.with_label_values(&[channel]);
    }
}

/// So many updates were published, so long after the oldest event that they tell of.
pub(super) fn published(channel: &'static str, count: u64, delay: Duration) {
    if count > 0 && metrics::enabled() {
        UPDATES.with_label_values(&[channel]).inc_by(count);
        metrics::observe(&DELAY, &[channel], delay);
    }
}

/// An update that tells of no event was published.
pub(super) fn ticked() {
    metrics::count(&UPDATES, &[DASHBOARD]);
}

/// A channel was asked for.
pub(super) fn asked(channel: &'static str, granted: bool) {
    metrics::count(&SUBSCRIPTIONS, &[channel, if granted { GRANTED } else { REFUSED }]);
}
