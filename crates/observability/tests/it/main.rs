//! What leaves the process, as a receiver, a scrape and a reader of the log see it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod db;
mod db_pools;
mod export;
mod lines;
mod process;
mod receiver;
