//! Where payments are kept.

pub mod sqlite;
mod sqlite_failure;
mod sqlite_rows;
