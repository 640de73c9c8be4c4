//! A Socket.IO v5 server on Engine.IO v4 for actix-web.
#![forbid(unsafe_code)]

pub mod adapter;
mod codec;
mod offset;
pub mod recovery;

pub use codec::{DecodeError, EncodeError, Payload};
pub use offset::Offset;

/// Name of a room; every socket is also in a room of its own, named by its id.
pub type Room = std::sync::Arc<str>;
