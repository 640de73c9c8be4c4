//! Calls to stores, told the same way whatever the store: a span, a metric, the request's time, the slow-query log.
//!
//! An adapter has one [`Client`] for each store that it speaks with, and wraps each unit of talking to it in
//! [`Client::call`]. Nothing here knows a driver.
//!
//! - inside a recorded trace a call is a CLIENT span, named by its operation, with the attributes of OpenTelemetry's
//!   semantic conventions for databases (`db.system.name`, `db.namespace`, `db.operation.name`, `db.query.summary`,
//!   `db.query.text` without values, `error.type`); <https://opentelemetry.io/docs/specs/semconv/database/database-spans/>;
//! - `db_client_operation_duration_seconds` observes it, once, however it ends;
//! - the running request has spent its time ([`crate::spent`]);
//! - if it took [`slow_threshold`] or longer, a line of target `slow_query` says so, and `db_slow_operations_total` counts.
//!
//! Pools are looked at when metrics are read: [`Client::watch_pool`].

mod call;
mod client;
mod fault;
mod meters;
mod pool;
mod slow;

pub use self::call::Call;
pub use self::client::{Client, System};
pub use self::fault::{Fault, StoreFault};
pub use self::pool::PoolState;
pub use self::slow::{set_slow_threshold, slow_threshold};
