//! How much is told live, and how late.

use std::sync::LazyLock;
use std::time::Duration;

use observability::metrics::{self, ACTIVE_CONNECTIONS};
use prometheus::{HistogramVec, IntCounterVec};

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// Long polling.
    Poll,
    /// Socket.IO.
    SocketIo,
}

impl Transport {
    /// As metrics and spans name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Poll => "poll",
            Self::SocketIo => "socketio",
        }
    }
}

/// Counts an open connection in `active_connections` for as long as it lives.
pub struct Counted(Transport);

impl Counted {
    /// One more.
    pub fn new(transport: Transport) -> Self {
        ACTIVE_CONNECTIONS.with_label_values(&[transport.label()]).inc();
        Self(transport)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ACTIVE_CONNECTIONS.with_label_values(&[self.0.label()]).dec();
    }
}

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
pub(super) fn count_pushed(transport: Transport, entries: u64) {
    if metrics::enabled() {
        PUSHED.with_label_values(&[transport.label()]).inc_by(entries);
    }
}
