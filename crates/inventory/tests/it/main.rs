//! The inventory as its neighbours see it: its ports' contract, its gRPC face, its events, its sweeper.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod events;
mod grpc;
mod helpers;
mod input;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_outage;
#[cfg(feature = "redis")]
mod redis_rules;
mod sqlite;
mod sweeper;
