//! Engine.IO v4: connections over long polling and WebSocket.
//!
//! Source: <https://socket.io/docs/v4/engine-io-protocol/>

pub(crate) mod conn;
mod cors;
pub(crate) mod frame;
mod handshake;
pub(crate) mod http;
mod polling;
mod query;
mod websocket;

pub use conn::Transport;
pub use cors::Cors;
pub use handshake::Handshake;
pub use http::Forbidden;
