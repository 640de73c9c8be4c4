//! Middleware for actix-web servers (feature `actix`).

mod access_log;
mod body;
mod metrics;

pub use access_log::{AccessLog, AccessLogService};
pub use body::LoggedBody;
pub use metrics::{HttpMetrics, HttpMetricsService};
