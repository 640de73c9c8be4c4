//! What this service counts.

use std::sync::LazyLock;

use observability::metrics::counter;
use prometheus::IntCounterVec;

/// Events of orders used, by what became of them: `used`, `late`, `duplicate`, `waits`.
pub static ORDER_EVENTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("notification_order_events_total", "Order events by what became of them.", &["outcome"]));

/// Attempts to send an email, by how they ended: `sent`, `failed`, `given_up`.
pub static EMAILS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("notification_emails_total", "Attempts to send an email by outcome.", &["outcome"]));
