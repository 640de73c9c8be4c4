//! The inventory as its neighbours see it: its ports' contract, its gRPC face, its events, its sweeper.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod events;
mod grpc;
mod helpers;
mod input;
mod sqlite;
mod sweeper;
