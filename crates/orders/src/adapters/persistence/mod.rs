//! Where orders are kept.

pub mod sqlite;
mod sqlite_rows;
