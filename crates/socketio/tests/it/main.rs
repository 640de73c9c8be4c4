//! The adapters as the server's core sees them, and the server as its clients see it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod contract;
mod contract_recovery;
mod faults;
mod http;
mod limits;
mod node;
mod order;
mod raw;
mod recovery;
mod slow;
mod upgrade;
mod websocket;
