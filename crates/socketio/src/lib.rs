#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod adapter;
pub mod bare;
mod client;
mod codec;
mod config;
mod connect;
mod connection;
mod drain;
mod emitter;
mod engine;
mod events;
pub mod handler;
mod hub;
mod id;
mod limits;
mod namespace;
mod node;
mod offset;
mod reason;
pub mod recovery;
mod server;
mod socket;
mod stats;
mod sync;
mod worker;

pub use codec::{DecodeError, EncodeError, Payload};
pub use connect::ConnectError;
pub use connection::on_connect;
pub use emitter::{BroadcastAckError, Emitter, IncompleteAcks, ServerSideEmitError};
pub use engine::{Cors, Forbidden, Handshake, Transport};
pub use id::{Id, InvalidId};
pub use limits::Limits;
pub use namespace::Namespace;
pub use offset::{InvalidOffset, Offset};
pub use reason::DisconnectReason;
pub use server::{Builder, EngineBuilder, EngineIo, SocketIo, UnknownNamespace};
pub use socket::{AckError, Recovery, Socket};
pub use stats::Snapshot;

/// Name of a room; every socket is also in a room of its own, named by its id.
pub type Room = std::sync::Arc<str>;
