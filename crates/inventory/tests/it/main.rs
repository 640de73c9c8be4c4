//! The inventory as its neighbours see it: its ports' contract, its gRPC face, its events, its sweeper.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod contract_loss;
mod contract_races;
mod events;
mod grpc;
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the tests of the store on Redis use it"))]
mod helpers;
mod input;
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the tests of the store on Redis use it"))]
mod orders_stub;
mod recovery;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_audit;
#[cfg(feature = "redis")]
mod redis_loss;
#[cfg(feature = "redis")]
mod redis_outage;
#[cfg(feature = "redis")]
mod redis_outbox_status;
#[cfg(feature = "redis")]
mod redis_rules;
#[cfg(feature = "redis")]
mod redis_server;
mod sqlite;
mod sweeper;
