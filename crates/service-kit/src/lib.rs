//! What every service's main needs, so that a service crate holds only what is its own.
//!
//! - [`settings`]: defaults → `souk.toml` → environment, typed, unknown names refused, every problem in one message;
//! - [`auth`]: who is calling: users' access tokens and services' own tokens, verified by each service itself;
//! - [`grpc`]: server and client stacks: request ids, deadlines, metrics, panics, authentication, in process or over TCP;
//! - [`platform`]: what a composition root is given; [`service`]: what it returns; [`host`]: what runs it;
//! - [`process`], [`lone`]: what every process reads, and the `main` of a service that runs alone;
//! - [`startup`]: what a service waits for before it can serve;
//! - [`internal_http`]: health, metrics and log level on the port that only operators reach;
//! - [`store_url`]: what to say of a store address that no adapter answers to;
//! - [`backoff`]: waits that grow, with jitter.

pub mod auth;
pub mod backoff;
pub mod grpc;
pub mod host;
pub mod internal_http;
mod log_files;
pub mod lone;
pub mod platform;
pub mod process;
pub mod service;
pub mod settings;
pub mod startup;
pub mod store_url;

pub use platform::Platform;
pub use service::{BackgroundTask, Service};
