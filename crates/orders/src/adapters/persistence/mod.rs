//! Where orders are kept.

mod envelope;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
mod postgres_rows;
pub mod sqlite;
mod sqlite_rows;
