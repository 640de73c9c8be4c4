//! Who is here, and how the store does.

use std::sync::LazyLock;

use observability::metrics;
use prometheus::{IntCounterVec, IntGaugeVec};

static ONLINE: LazyLock<IntGaugeVec> =
    LazyLock::new(|| metrics::gauge("presence_users", "Users with an open socket at this gateway.", &[]));
static CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter(
        "presence_changes_total",
        "Users that this gateway told others of, by what they became.",
        &["state"],
    )
});
static FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter("presence_store_failures_total", "Calls of the presence store that failed.", &[])
});

pub(super) fn set_online(users: usize) {
    if metrics::enabled() {
        ONLINE.with_label_values::<&str>(&[]).set(users as i64);
    }
}

pub(super) fn count_change(is_online: bool) {
    if metrics::enabled() {
        CHANGES.with_label_values(&[if is_online { "online" } else { "offline" }]).inc();
    }
}

pub(super) fn count_failure() {
    if metrics::enabled() {
        FAILURES.with_label_values::<&str>(&[]).inc();
    }
}
