//! The driver against a tiny HTTP server in this process. What it measures is not judged, only that it counts right.

mod client;
mod loops;
mod server;
