//! Souk as a whole: the real binary, real stores, real kills.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod audit;
mod command_line;
#[cfg(all(feature = "amqp", feature = "mongodb", feature = "postgres", feature = "redis"))]
mod distributed;
mod examples;
mod journey;
mod kill;
mod operators;
#[cfg(all(feature = "amqp", feature = "mongodb", feature = "postgres", feature = "redis"))]
#[path = "../../../messaging/tests/it/postgres_fixture.rs"]
#[expect(dead_code, reason = "only its schema is needed here, not its door")]
mod postgres_fixture;
mod process;
mod reconcile;
mod reconcile_postgres_mongo_redis;
#[cfg(all(feature = "amqp", feature = "mongodb", feature = "postgres", feature = "redis"))]
mod system;
mod telemetry;
