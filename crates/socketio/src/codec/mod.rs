//! Packets of Socket.IO v5 as text and attachments, and what they carry. Pure: no sockets, no clock.
//!
//! Sources: the protocol text at <https://socket.io/docs/v4/socket-io-protocol/>, and where it is silent what
//! `socket.io-parser` 4.2 does; docs/adr/0022 for what was weighed.

mod de;
mod error;
mod json;
mod packet;
mod payload;
#[cfg(test)]
mod properties;
mod ser;
mod shape;

pub use error::{DecodeError, EncodeError};
pub(crate) use packet::{Body, DecodeLimits, Decoder, Packet, encode};
pub use payload::Payload;
