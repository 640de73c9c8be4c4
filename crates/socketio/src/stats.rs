//! Counters of everything the server does and refuses.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// One number that only grows, or a gauge when it is signed.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        // Read between an addition and its removal on another thread it may be below zero for a moment.
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Stats {
            $(pub(crate) $name: $kind,)*
        }

        /// What the server has done since it started, and what it holds now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.read(),)* }
            }
        }
    };
}

statistics! {
    /// Connections open now, over polling.
    polling_connections: Gauge,
    /// Connections open now, over WebSocket.
    websocket_connections: Gauge,
    /// Sockets connected to a namespace now.
    sockets: Gauge,
    /// Connections that were opened.
    opened: Counter,
    /// Connections that moved from polling to WebSocket.
    upgraded: Counter,
    /// Connections that ended.
    closed: Counter,
    /// Connections that ended because a ping was not answered.
    ping_timeouts: Counter,
    /// Messages that came from clients.
    messages_received: Counter,
    /// Broadcasts that were sent to the sockets of this node; each is encoded once.
    broadcasts: Counter,
    /// Messages that were queued for sockets, broadcasts counted once per socket.
    messages_queued: Counter,
    /// Times that reading from clients was put off because a worker was far behind.
    reading_paused: Counter,
    /// Volatile messages that were left out because a socket could not take them at once.
    volatile_dropped: Counter,
    /// Connections that were closed because more waited for them than allowed.
    slow_consumers: Counter,
    /// Requests refused: too many connections of one address.
    refused_connections_per_ip: Counter,
    /// Connections that were closed by draining.
    drained: Counter,
    /// Requests refused because the server is being drained or has been closed.
    refused_while_stopping: Counter,
    /// Requests refused by the `allow_request` hook.
    refused_by_hook: Counter,
    /// Requests refused because they are malformed or name no session.
    refused_bad_requests: Counter,
    /// Requests refused because their head is larger than allowed.
    refused_large_heads: Counter,
    /// Request bodies and messages that were larger than allowed.
    oversized_payloads: Counter,
    /// Connections closed because a packet was malformed.
    parse_errors: Counter,
    /// Connections closed for the number or size of attachments.
    attachment_limits: Counter,
    /// Connections closed because they joined no namespace in time.
    connect_timeouts: Counter,
    /// Connections closed because their clients joined too many namespaces, or named one at too great a length.
    namespace_limits: Counter,
    /// Connections closed because their clients sent too many events.
    rate_limited: Counter,
    /// Requests to join a room that were refused: the socket is in as many as allowed, or the name is too long.
    room_limits: Counter,
    /// Events without a handler.
    unhandled_events: Counter,
    /// Handlers and middlewares that panicked.
    panics: Counter,
    /// Events whose arguments did not fit their handler.
    rejected_events: Counter,
    /// Connections to namespaces that a middleware refused.
    refused_by_middleware: Counter,
    /// Sessions that clients recovered.
    sessions_recovered: Counter,
    /// Sessions that clients asked for and did not get.
    sessions_not_recovered: Counter,
    /// Sockets that ended because their session went on over another connection.
    sessions_superseded: Counter,
}
