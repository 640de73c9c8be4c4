//! The adapters as the server's core sees them, and the server as its clients see it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod contract_recovery;
mod drain;
mod faults;
mod http;
mod limits;
mod node;
// Their servers are examples that can use Redis.
#[cfg(feature = "redis")]
mod node_clients;
mod order;
mod raw;
mod recovery;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_cluster;
#[cfg(feature = "redis")]
mod redis_outage;
#[cfg(feature = "redis")]
mod redis_server;
#[cfg(feature = "redis")]
mod redis_sessions;
#[cfg(feature = "redis")]
mod redis_wire;
mod slow;
mod upgrade;
mod websocket;
