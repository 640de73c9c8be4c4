//! Where payments are kept.

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
mod postgres_failure;
#[cfg(feature = "postgres")]
mod postgres_rows;
pub mod sqlite;
mod sqlite_failure;
mod sqlite_rows;
