//! What the ports are in reality.

pub mod persistence;
