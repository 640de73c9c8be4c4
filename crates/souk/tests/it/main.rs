//! Souk as a whole: the real binary, real stores, real kills.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod audit;
mod command_line;
mod journey;
mod kill;
mod process;
mod reconcile;
mod reconcile_postgres_mongo_redis;
#[cfg(all(feature = "amqp", feature = "mongodb", feature = "postgres", feature = "redis"))]
mod system;
