//! The contracts that are kept outside the code: the table of refusals, and the events on the bus.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod error_table;
mod event_samples;

use std::path::PathBuf;

/// A path below the root of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
