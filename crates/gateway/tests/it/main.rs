//! The gateway as its callers see it: built by its composition root, driven over real HTTP, with stand-ins for the
//! services behind real gRPC.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod authentication;
mod bad_input;
mod browsers;
mod channel_stores;
mod channels;
mod chat;
mod chat_sockets;
mod cookies;
mod documents;
mod feed;
mod hub_contract;
mod leaving;
mod live_events;
mod nginx;
mod polling;
mod presence;
mod presence_contract;
mod presence_sockets;
mod problems;
#[cfg(feature = "redis")]
mod redis;
mod replicas;
mod revocations;
mod routes;
mod sio;
mod sockets;
mod start;
mod stream_timing;
mod stubs;
mod wire;
mod world;
