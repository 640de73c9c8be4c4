//! The payment service as others meet it: its ports, its use cases over real stores, and its gRPC calls.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod charge;
mod flaky_provider;
mod grpc;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../../../messaging/tests/it/postgres_fixture.rs"]
mod postgres_fixture;
mod provider_contract;
mod reconcile;
mod refund;
mod repository_contract;
mod running_service;
#[cfg(feature = "postgres")]
mod two_replicas_on_postgres;
mod world;
