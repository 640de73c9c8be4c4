//! The Socket.IO side of a connection: its sockets, one for each namespace it joined.
//!
//! Source: Socket.IO protocol v5, "exchange protocol".

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    bare,
    codec::{Body, DecodeError, DecodeLimits, Decoder, Packet},
    connect,
    engine::{
        conn::{Conn, Pushed},
        frame,
    },
    events,
    hub::Protocol,
    limits::Budget,
    reason::DisconnectReason,
    socket::{Inner, Phase, Socket},
};

/// What a connection knows of Socket.IO.
#[derive(Default)]
pub(crate) struct Client {
    decoder: Decoder,
    sockets: Vec<Arc<Inner>>,
    /// Namespaces that are being joined.
    connecting: Vec<ByteString>,
    budget: Budget,
    /// A namespace has been joined.
    welcome: bool,
    closed: bool,
}

impl Client {
    pub(crate) fn sockets(&self) -> &[Arc<Inner>] {
        &self.sockets
    }

    /// Whether no namespace is joined, nor about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.sockets.is_empty() && self.connecting.is_empty()
    }

    /// Whether a namespace was joined, be it left again.
    pub(crate) fn is_welcome(&self) -> bool {
        self.welcome
    }

    pub(crate) fn remove(&mut self, socket: &Arc<Inner>) {
        self.sockets.retain(|known| !Arc::ptr_eq(known, socket));
    }

    /// The namespace is joined by this socket; false if the connection ended meanwhile.
    pub(crate) fn joined(&mut self, socket: &Arc<Inner>) -> bool {
        self.connecting.retain(|name| **name != *socket.namespace.name);
        if self.closed {
            return false;
        }
        if self.sockets.is_empty() {
            // Most connections join one namespace.
            self.sockets.reserve_exact(1);
        }
        self.sockets.push(socket.clone());
        self.welcome = true;
        true
    }

    /// The namespace is not joined after all.
    pub(crate) fn refused(&mut self, namespace: &str) {
        self.connecting.retain(|name| **name != *namespace);
    }

    pub(crate) fn on_text(conn: &Arc<Conn>, text: ByteString) {
        match &conn.hub.protocol {
            Protocol::Bare(handler) => handler(bare::Connection(conn.clone()), bare::Message::Text(text)),
            Protocol::SocketIo(_) => {
                let mut client = conn.client.lock();
                if !client.closed {
                    let decoded = client.decoder.text(text, &limits(conn));
                    drop(client);
                    Self::on_decoded(conn, decoded);
                }
            }
        }
    }

    pub(crate) fn on_binary(conn: &Arc<Conn>, data: Bytes) {
        match &conn.hub.protocol {
            Protocol::Bare(handler) => handler(bare::Connection(conn.clone()), bare::Message::Binary(data)),
            Protocol::SocketIo(_) => {
                let mut client = conn.client.lock();
                if !client.closed {
                    let decoded = client.decoder.binary(data, &limits(conn));
                    drop(client);
                    Self::on_decoded(conn, decoded);
                }
            }
        }
    }

    fn on_decoded(conn: &Arc<Conn>, decoded: Result<Option<Packet>, DecodeError>) {
        match decoded {
            Ok(Some(packet)) => Self::on_packet(conn, packet),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(connection = %conn.id, %error, "packet refused");
                if error.is_limit() {
                    conn.hub.stats.attachment_limits.one();
                    conn.close(DisconnectReason::LimitExceeded);
                } else {
                    conn.close(DisconnectReason::ParseError);
                }
            }
        }
    }

    fn on_packet(conn: &Arc<Conn>, packet: Packet) {
        let hub = &conn.hub;
        let limits = &hub.config.limits;
        if packet.namespace.len() > limits.namespace_bytes {
            hub.stats.namespace_limits.one();
            conn.close(DisconnectReason::LimitExceeded);
            return;
        }
        let socket = {
            let mut client = conn.client.lock();
            if let (Body::Connect(_) | Body::Event { .. }, Some(rate)) = (&packet.body, limits.events_per_second)
                && !client.budget.take(rate, hub.uptime_ms())
            {
                drop(client);
                hub.stats.rate_limited.one();
                conn.close(DisconnectReason::RateLimited);
                return;
            }
            // The last one: an earlier one has ended and is about to go.
            let found = client.sockets.iter().rfind(|socket| *socket.namespace.name == *packet.namespace).cloned();
            match (&packet.body, &found) {
                (Body::Connect(_), found)
                    if found.as_ref().is_none_or(|socket| socket.phase() == Phase::Closed)
                        && !client.connecting.contains(&packet.namespace) =>
                {
                    if client.sockets.len() + client.connecting.len() >= limits.namespaces_per_connection {
                        drop(client);
                        hub.stats.namespace_limits.one();
                        conn.close(DisconnectReason::LimitExceeded);
                        return;
                    }
                    client.connecting.push(packet.namespace.clone());
                }
                (Body::Event { .. } | Body::Ack { .. } | Body::Disconnect, Some(_)) => {}
                _ => {
                    drop(client);
                    tracing::debug!(connection = %conn.id, namespace = %packet.namespace, "packet out of turn");
                    conn.close(DisconnectReason::ForcedServerClose);
                    return;
                }
            }
            found
        };
        match (packet.body, socket) {
            (Body::Connect(auth), _) => connect::begin(conn, &packet.namespace, auth),
            (Body::Event { id, payload }, Some(socket)) => {
                match socket.phase() {
                    Phase::Live => events::received(Socket(socket), payload, id),
                    // It has not been told that it is connected: its client is ahead of itself.
                    Phase::Pending | Phase::Buffering => conn.close(DisconnectReason::ForcedServerClose),
                    Phase::Closed => {}
                }
            }
            (Body::Ack { id, payload }, Some(socket)) => socket.on_ack(id, payload),
            (Body::Disconnect, Some(socket)) => socket.finish(DisconnectReason::ClientNamespaceDisconnect),
            _ => {}
        }
    }

    /// Sends a packet that belongs to no socket.
    pub(crate) fn send(conn: &Arc<Conn>, packet: &str) {
        if conn.push(frame::text(b'4', packet), false) == Pushed::Overflow {
            conn.close(DisconnectReason::SlowConsumer);
        }
    }

    /// The connection has ended, and all its sockets with it.
    pub(crate) fn closed(conn: &Arc<Conn>, reason: DisconnectReason) {
        let sockets = {
            let mut client = conn.client.lock();
            client.closed = true;
            // Each stays until it has ended: who moves the connection has to know of them.
            client.sockets.clone()
        };
        for socket in sockets {
            socket.finish(reason);
        }
    }
}

fn limits(conn: &Conn) -> DecodeLimits {
    let limits = &conn.hub.config.limits;
    DecodeLimits { attachments: limits.attachments, attachment_bytes: limits.attachment_bytes }
}
