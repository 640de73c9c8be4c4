//! What others reach the inventory by: [`grpc`] calls; and the passing of time, [`sweeper`].
//!
//! The inventory listens to no events: everything that it does for an order it is asked for by the saga.

pub mod grpc;
pub mod sweeper;
