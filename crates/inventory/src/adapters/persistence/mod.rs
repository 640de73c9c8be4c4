//! Where the inventory is kept.

mod events;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
mod rows;
pub mod sqlite;
mod uncovered;
