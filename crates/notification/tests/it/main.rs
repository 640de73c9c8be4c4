//! The notification service as its neighbours see it, and its ports as their adapters must meet them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod builders;
#[macro_use]
mod contract;
mod chat;
mod chat_contract;
mod contract_differences;
mod contract_inbox;
mod email;
mod events;
mod grpc;
mod memory;
#[cfg(feature = "mongodb")]
#[path = "../../../messaging/tests/it/mongo_fixture.rs"]
mod mongo_fixture;
#[cfg(feature = "mongodb")]
mod mongo_store;
mod reordering;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "smtp")]
mod smtp_server;
mod two_replicas;
mod upgrade;
mod world;
