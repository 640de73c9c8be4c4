//! What the service does: ports first, then one use case per file.

pub mod audit;
pub mod charge;
pub mod events;
pub mod get_payment;
pub mod outcomes;
pub mod ports;
pub mod reconcile;
pub mod refund;
pub mod wake;
