//! The driver against a tiny HTTP server in this process, and its binary against a script. What it measures is not judged,
//! only that it counts right and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod client;
mod loops;
mod processes;
mod server;
