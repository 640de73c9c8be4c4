//! Where orders are kept.

mod audit_rows;
mod envelope;
mod fault;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
pub mod postgres_audit;
#[cfg(feature = "postgres")]
mod postgres_rows;
pub mod sqlite;
pub mod sqlite_audit;
mod sqlite_rows;
