//! Load driver and benchmark of Souk over HTTP.
//!
//! - [`telemetry`]: what logs, metrics and traces cost, measured on two Souks in turns;
//! - [`same_request`]: one request in a closed or an open loop, to any HTTP/1.1 server;
//! - [`checkout`]: orders at a given rate;
//! - [`fanout`]: a room full of WebSockets, on Socket.IO servers in turns.
//!
//! The first three rest on [`load`], which sends over [`http`] what a [`load::Work`] writes, at a [`load::Pace`], and counts in
//! a [`tally::Tally`]. The driver has one thread, since it shares the processors with the server that it measures.

pub mod bound;
pub mod checkout;
pub mod cpu;
pub mod error;
pub mod fanout;
pub mod http;
pub mod latency;
pub mod load;
pub mod memory;
pub mod otlp;
pub mod pacing;
pub mod progress;
pub mod rounds;
pub mod same_request;
pub mod server_cpu;
pub mod souk;
pub mod span_of_time;
pub mod stats;
pub mod stop;
pub mod tally;
pub mod telemetry;
