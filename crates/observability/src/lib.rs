//! Logs, request ids, metrics and health, used the same way by every service. Knows nothing of orders or shops.
//!
//! - [`logs::init`] installs the log output and returns a handle that changes the level at run time;
//! - [`context`] carries the request id and the trace through a task, so that every line inside a request names them;
//! - [`metrics`] holds the process's registry and renders it;
//! - [`health`] answers whether the process lives and whether it is ready.

pub mod access_log;
#[cfg(feature = "actix")]
pub mod actix;
pub mod context;
pub mod health;
pub mod logs;
pub mod metrics;

pub use context::RequestContext;
pub use health::{Health, HealthCheck};
