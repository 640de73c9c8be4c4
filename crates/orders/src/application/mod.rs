//! Use cases of the orders service, and the ports they need.

pub mod audit;
pub mod cancel_order;
pub mod error;
pub mod fulfil_order;
pub mod ordering;
pub mod place_order;
pub mod ports;
pub mod queries;
pub mod refund_order;
pub mod resume_sagas;
pub mod saga;
pub mod settle_payment;
mod spans;

pub use error::OrderError;
pub use ordering::Ordering;
