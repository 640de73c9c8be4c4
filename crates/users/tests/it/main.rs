//! The users service as its neighbours see it, and its ports as every adapter must fill them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod accounts;
mod administration;
#[macro_use]
mod contract;
mod contract_differences;
mod helpers;
mod housekeeping;
mod keys;
mod memory;
#[cfg(feature = "mongodb")]
#[path = "../../../messaging/tests/it/mongo_fixture.rs"]
mod mongo_fixture;
#[cfg(feature = "mongodb")]
mod mongo_standalone;
#[cfg(feature = "mongodb")]
mod mongo_store;
mod process;
mod races;
mod seeding;
mod sessions;
mod sqlite_store;
mod throttling;
