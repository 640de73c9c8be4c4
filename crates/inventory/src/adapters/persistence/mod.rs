//! Where the inventory is kept.

mod events;
#[cfg(feature = "redis")]
pub mod redis;
mod rows;
pub mod sqlite;
