//! The inventory as its neighbours see it: its ports' contract, its gRPC face, its events, its sweeper.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod events;
mod grpc;
mod helpers;
mod input;
mod orders_stub;
mod recovery;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_loss;
#[cfg(feature = "redis")]
mod redis_outage;
#[cfg(feature = "redis")]
mod redis_rules;
#[cfg(feature = "redis")]
mod redis_server;
mod sqlite;
mod sweeper;
