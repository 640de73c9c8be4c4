//! What the ports are in reality.

#[cfg(feature = "redis")]
pub mod clients;
pub mod persistence;
