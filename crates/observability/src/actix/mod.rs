//! Middleware for actix-web servers (feature `actix`).
//!
//! Wrap them in this order: the last one wrapped, [`request::follow`], is the outermost.

mod access_log;
mod body;
mod client;
mod metrics;
pub mod request;

pub use access_log::{AccessLog, AccessLogService};
pub use body::LoggedBody;
pub use client::ClientAddress;
pub use metrics::{HttpMetrics, HttpMetricsService};
