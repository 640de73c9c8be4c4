//! What the ports are, for real.

pub mod clients;
pub mod persistence;
