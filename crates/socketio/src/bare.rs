//! Engine.IO alone: connections and messages, without namespaces, events or rooms.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    engine::{Handshake, Transport, conn::Conn, frame},
    id::Id,
    reason::DisconnectReason,
};

/// A message of a bare connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Binary.
    Binary(Bytes),
}

/// A connection of a bare server. Cheap to clone; may be kept and used from any thread.
#[derive(Clone)]
pub struct Connection(pub(crate) Arc<Conn>);

impl Connection {
    /// The connection's id: it is secret, since who knows it may speak for the client.
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// How the connection carries its packets now.
    pub fn transport(&self) -> Transport {
        self.0.transport()
    }

    /// Sends a message; left out if the client is gone. A client for which too much waits is disconnected.
    pub fn send(&self, message: Message) {
        let frames = match &message {
            Message::Text(text) => frame::text(b'4', text),
            Message::Binary(data) => frame::binary(data),
        };
        if self.0.push(frames, false) == crate::engine::conn::Pushed::Overflow {
            self.0.close(DisconnectReason::SlowConsumer);
        }
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.0.close(DisconnectReason::ForcedServerClose);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("transport", &self.transport()).finish_non_exhaustive()
    }
}
