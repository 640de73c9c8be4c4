//! Logs, request ids, metrics and health, used the same way by every service. Knows nothing of orders or shops.
//!
//! - [`logs::init`] installs the log output and returns a handle that changes the level at run time;
//! - [`context`] carries the request id and the trace through a task, so that every line inside a request names them;
//! - [`metrics`] holds the process's registry and renders it;
//! - [`redact`] keeps secrets and personal data out of lines and spans;
//! - [`health`] answers whether the process lives and whether it is ready.

pub mod context;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod redact;

pub use context::RequestContext;
pub use health::{Health, HealthCheck};
