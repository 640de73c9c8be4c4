//! The ports' adapters: stores and providers.

pub mod persistence;
pub mod providers;
