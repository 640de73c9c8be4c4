//! Stores: one module per engine.

pub mod sqlite;
