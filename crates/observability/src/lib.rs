//! Logs, request ids, metrics, traces and health, used the same way by every service. Knows nothing of what the services are
//! for.
//!
//! - [`init`] installs logs and traces, and returns a guard that writes and sends what is left when it is dropped;
//! - [`context`] carries the request id and the place in the trace through a task, so that every line, call and event of a
//!   request names them; [`spent`] adds up what it waited for;
//! - [`trace`] makes spans and sends them over OTLP;
//! - [`db`] tells of calls to stores: spans, metrics, the slow-query log;
//! - [`logs`] writes lines; their level can be changed while the process runs; [`redact`] keeps secrets out of both;
//! - [`access_log`] tells of HTTP requests, in the formats of morgan;
//! - [`metrics`] holds the process's registry and renders it;
//! - [`health`] answers whether the process lives and whether it is ready;
//! - `actix` and `tonic` (features of these names) join all of it to a server and to clients.

pub mod access_log;
#[cfg(feature = "actix")]
pub mod actix;
mod cause;
pub mod context;
pub mod db;
pub mod health;
mod init;
pub mod logs;
pub mod metrics;
pub mod redact;
pub mod spent;
#[cfg(feature = "tonic")]
pub mod tonic;
pub mod trace;

pub use cause::Cause;
pub use context::RequestContext;
pub use health::{Health, HealthCheck};
pub use init::{Guard, Settings, init};
