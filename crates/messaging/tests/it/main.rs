//! The event bus, its relay and its consumers as services see them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[cfg(feature = "amqp")]
mod amqp;
mod consumer;
#[macro_use]
mod contract;
mod dead_letters;
mod helpers;
#[cfg(feature = "mongodb")]
mod mongo;
#[cfg(feature = "mongodb")]
#[expect(dead_code, reason = "the tests of other crates, which include it, use the rest")]
mod mongo_fixture;
mod outbox_contract;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_fixture;
mod redelivery;
mod relay;
