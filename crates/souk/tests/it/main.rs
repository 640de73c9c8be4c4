//! Souk as a whole: the real binary, real stores, real kills.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod audit;
mod command_line;
mod journey;
mod kill;
mod process;
