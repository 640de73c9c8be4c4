//! Packets of Socket.IO v5 as text and attachments, and what they carry. Pure: no sockets, no clock.

mod payload;

pub use payload::{DecodeError, EncodeError, Payload};
