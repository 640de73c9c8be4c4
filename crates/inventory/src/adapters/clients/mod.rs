//! The neighbours that the inventory asks.

pub mod orders;
