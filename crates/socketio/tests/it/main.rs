//! The adapters as the server's core sees them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod contract_recovery;
mod node;
