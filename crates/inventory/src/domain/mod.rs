//! Products, stock and reservations: rules only, no I/O, no clock.
//!
//! - [`values`]: what a product may be called, shown as and cost;
//! - [`product`]: a product of the catalogue and its verbs;
//! - [`stock`]: units on hand and reserved, and what a reservation does to them;
//! - [`lines`]: what an order wants;
//! - [`reservation`]: the state machine of an order's reservation;
//! - [`claim`]: what an order has a right to by the order log, and the way back to it;
//! - [`error`]: what the rules say no with.

pub mod claim;
pub mod error;
pub mod lines;
pub mod product;
pub mod reservation;
pub mod stock;
pub mod values;

#[cfg(test)]
mod histories;
