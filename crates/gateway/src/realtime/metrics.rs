//! How many are connected and how much is said.

use std::sync::LazyLock;

use observability::metrics::{self, ACTIVE_CONNECTIONS};
use prometheus::{IntCounterVec, IntGaugeVec};
use socketio::{Snapshot, SocketIo};

static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Events of Socket.IO clients that were answered, by outcome: ok, or the reason of the refusal.";
    metrics::counter("socket_events_total", help, &["event", "outcome"])
});
static SOCKETS: LazyLock<IntGaugeVec> =
    LazyLock::new(|| metrics::gauge("sockets", "Sockets connected to a namespace of Socket.IO.", &[]));
static HUB: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "What the Socket.IO server did and refused, by kind.";
    metrics::counter("socketio_total", help, &["kind"])
});

/// An event was answered. Events are those that have a handler: few.
pub(super) fn count_event(event: &str, outcome: &str) {
    metrics::count(&EVENTS, &[event, outcome]);
}

/// Carries the server's own counters over into the metrics. `before` is what was carried last.
pub(super) fn carry(io: &SocketIo, before: &mut Snapshot) {
    let now = io.stats();
    if metrics::enabled() {
        let open = |transport, count: u64| {
            ACTIVE_CONNECTIONS.with_label_values(&[transport]).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        open("websocket", now.websocket_connections);
        open("polling", now.polling_connections);
        SOCKETS.with_label_values(&[] as &[&str]).set(i64::try_from(now.sockets).unwrap_or(i64::MAX));
        for (kind, counter) in KINDS {
            HUB.with_label_values(&[kind]).inc_by(counter(&now).saturating_sub(counter(before)));
        }
    }
    *before = now;
}

type Kind = (&'static str, fn(&Snapshot) -> u64);

const KINDS: [Kind; 22] = [
    ("opened", |s| s.opened),
    ("upgraded", |s| s.upgraded),
    ("closed", |s| s.closed),
    ("ping_timeout", |s| s.ping_timeouts),
    ("message_received", |s| s.messages_received),
    ("broadcast", |s| s.broadcasts),
    ("message_queued", |s| s.messages_queued),
    ("reading_paused", |s| s.reading_paused),
    ("volatile_dropped", |s| s.volatile_dropped),
    ("slow_consumer", |s| s.slow_consumers),
    ("refused_bad_request", |s| s.refused_bad_requests),
    ("refused_large_head", |s| s.refused_large_heads),
    ("oversized_payload", |s| s.oversized_payloads),
    ("parse_error", |s| s.parse_errors),
    ("rate_limited", |s| s.rate_limited),
    ("room_limit", |s| s.room_limits),
    ("unhandled_event", |s| s.unhandled_events),
    ("panic", |s| s.panics),
    ("refused_by_middleware", |s| s.refused_by_middleware),
    ("session_recovered", |s| s.sessions_recovered),
    ("session_not_recovered", |s| s.sessions_not_recovered),
    ("session_superseded", |s| s.sessions_superseded),
];
