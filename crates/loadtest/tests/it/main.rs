//! The driver against a tiny HTTP server in this process. What it measures is not judged, only that it counts right.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod client;
mod loops;
mod server;
