//! Where payments are kept.

mod audit_rows;
mod fault;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "postgres")]
pub mod postgres_audit;
#[cfg(feature = "postgres")]
mod postgres_failure;
#[cfg(feature = "postgres")]
mod postgres_rows;
pub mod sqlite;
pub mod sqlite_audit;
mod sqlite_failure;
mod sqlite_rows;
