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
    engine::{conn::Conn, frame},
    events,
    hub::Protocol,
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
    closed: bool,
}

impl Client {
    pub(crate) fn sockets(&self) -> &[Arc<Inner>] {
        &self.sockets
    }

    /// Whether no namespace is joined.
    pub(crate) fn is_idle(&self) -> bool {
        self.sockets.is_empty() && self.connecting.is_empty()
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
                let decoded = conn.client.lock().decoder.text(text, &limits(conn));
                Self::on_decoded(conn, decoded);
            }
        }
    }

    pub(crate) fn on_binary(conn: &Arc<Conn>, data: Bytes) {
        match &conn.hub.protocol {
            Protocol::Bare(handler) => handler(bare::Connection(conn.clone()), bare::Message::Binary(data)),
            Protocol::SocketIo(_) => {
                let decoded = conn.client.lock().decoder.binary(data, &limits(conn));
                Self::on_decoded(conn, decoded);
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
        let socket = {
            let mut client = conn.client.lock();
            let found = client.sockets.iter().find(|socket| *socket.namespace.name == *packet.namespace).cloned();
            match (&packet.body, &found) {
                (Body::Connect(_), None) if !client.connecting.contains(&packet.namespace) => {
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
                if !socket.is_live() {
                    // It has not been told that it is connected: its client is ahead of itself.
                    if socket.phase() != Phase::Closed {
                        conn.close(DisconnectReason::ForcedServerClose);
                    }
                } else if socket.within_rate() {
                    events::received(Socket(socket), payload, id);
                } else {
                    conn.hub.stats.rate_limited.one();
                    conn.close(DisconnectReason::RateLimited);
                }
            }
            (Body::Ack { id, payload }, Some(socket)) => socket.on_ack(id, payload),
            (Body::Disconnect, Some(socket)) => socket.finish(DisconnectReason::ClientNamespaceDisconnect),
            _ => {}
        }
    }

    /// Sends a packet that belongs to no socket.
    pub(crate) fn send(conn: &Arc<Conn>, packet: &str) {
        conn.push(frame::text(b'4', packet), false, conn.home());
    }

    /// The connection has ended, and all its sockets with it.
    pub(crate) fn closed(conn: &Arc<Conn>, reason: DisconnectReason) {
        let sockets = {
            let mut client = conn.client.lock();
            client.closed = true;
            std::mem::take(&mut client.sockets)
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
