//! What the nodes of a cluster say to each other, byte for byte as @socket.io/redis-streams-adapter 0.3.1 does on
//! socket.io-adapter 2.5.8.

pub(super) mod binary;
pub(super) mod call;
pub(super) mod entry;
pub(super) mod session;

use crate::DecodeError;

/// Types of messages; others are ignored.
/// Source: `MessageType` in socket.io-adapter, cluster-adapter.ts
pub(super) mod kind {
    pub(in super::super) const BROADCAST: u64 = 3;
    pub(in super::super) const JOIN: u64 = 4;
    pub(in super::super) const LEAVE: u64 = 5;
    pub(in super::super) const DISCONNECT: u64 = 6;
    pub(in super::super) const FETCH: u64 = 7;
    pub(in super::super) const FETCH_RESPONSE: u64 = 8;
    pub(in super::super) const SERVER_EMIT: u64 = 9;
    pub(in super::super) const SERVER_EMIT_RESPONSE: u64 = 10;
    pub(in super::super) const BROADCAST_CLIENTS: u64 = 11;
    pub(in super::super) const BROADCAST_ACK: u64 = 12;
    /// This adapter's own: a session was taken over. Far from what the original may still come to use.
    pub(in super::super) const SUPERSEDED: u64 = 5001;
}

/// What was read is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("no JSON of a message")]
    Json(#[from] serde_json::Error),
    #[error("no base64")]
    Base64(#[from] base64::DecodeError),
    #[error("no MessagePack")]
    MessagePack(#[from] rmpv::decode::Error),
    #[error("no arguments of an event")]
    Payload(#[from] DecodeError),
    #[error("no UTF-8")]
    Utf8,
    #[error("{0} is missing or of another kind")]
    Field(&'static str),
}
