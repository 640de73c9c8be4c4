//! What one client may ask of the server.

/// Bounds on clients. What goes beyond them is counted ([`crate::Snapshot`]) and answered with a reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of one address at a time. Unlimited by default: behind a proxy all clients may share an address, see
    /// [`crate::Builder::client_ip`].
    pub connections_per_ip: Option<u32>,
    /// Events a client may send in a second over one connection, on average; it may send twice as many at once. To join a
    /// namespace counts as one. Unlimited by default.
    pub events_per_second: Option<u32>,
    /// Attachments of one packet. 100 by default.
    pub attachments: usize,
    /// Bytes of all attachments of one packet. 10 MB by default.
    pub attachment_bytes: usize,
    /// Bytes of the head of the request that opens a connection, which is kept: path, query and headers. 16 KiB by default.
    pub head_bytes: usize,
    /// Namespaces that one connection may be in, or about to join. 100 by default.
    pub namespaces_per_connection: usize,
    /// Bytes of a namespace's name. 256 by default.
    pub namespace_bytes: usize,
    /// Rooms a socket may be in, beside its own. 10 000 by default.
    pub rooms_per_socket: usize,
    /// Bytes of a room's name. 512 by default.
    pub room_bytes: usize,
    /// Messages that may wait for one socket. 16 384 by default.
    pub queued_messages: usize,
    /// Bytes that may wait for one socket. 16 MiB by default. A message is let in while fewer wait, however long it is.
    pub queued_bytes: usize,
    /// Broadcasts and other operations that may wait for one worker before no more is read from clients, until it has caught
    /// up. 100 000 by default.
    pub posted_operations: usize,
    /// Packets in the body of one polling request. 10 000 by default.
    pub packets_per_payload: usize,
    /// Namespaces that may come to be by [`crate::Namespace::dynamic`] rules. 10 000 by default.
    pub dynamic_namespaces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_ip: None,
            events_per_second: None,
            attachments: 100,
            attachment_bytes: 10_000_000,
            head_bytes: 16 << 10,
            namespaces_per_connection: 100,
            namespace_bytes: 256,
            rooms_per_socket: 10_000,
            room_bytes: 512,
            queued_messages: 16_384,
            queued_bytes: 16 << 20,
            posted_operations: 100_000,
            packets_per_payload: 10_000,
            dynamic_namespaces: 10_000,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::full()
    }
}

/// A budget of events that fills up as time passes.
#[derive(Debug)]
pub(crate) struct Budget {
    left: f32,
    /// When `left` was right, in milliseconds since the server started.
    at_ms: u64,
}

impl Budget {
    pub(crate) const fn full() -> Self {
        Self { left: f32::INFINITY, at_ms: 0 }
    }

    /// Takes one event out; false if none is left.
    pub(crate) fn take(&mut self, per_second: u32, now_ms: u64) -> bool {
        let rate = per_second as f32;
        let passed = now_ms.saturating_sub(self.at_ms) as f32 / 1000.0;
        self.at_ms = now_ms;
        self.left = (self.left + passed * rate).min(rate * 2.0);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_a_burst_of_two_seconds_and_then_the_rate() {
        let mut budget = Budget::full();
        let burst = (0..100).filter(|_| budget.take(10, 5)).count();
        assert_eq!(burst, 20);
        assert!(!budget.take(10, 5));
        assert!(budget.take(10, 105));
        assert!(!budget.take(10, 105));
    }
}
