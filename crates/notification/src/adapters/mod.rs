//! The outside world, as the ports want it.

pub mod clients;
pub mod mail;
pub mod persistence;
