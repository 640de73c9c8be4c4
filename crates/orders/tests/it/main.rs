//! The orders service from the outside and through its ports.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bootstrap;
mod checkout;
mod contract;
mod faults;
mod grpc;
mod helpers;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../../../messaging/tests/it/postgres_fixture.rs"]
mod postgres_fixture;
#[cfg(feature = "postgres")]
mod two_replicas_on_postgres;
