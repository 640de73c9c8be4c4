//! Values as SQLite keeps them.

use std::str::FromStr;

use super::error::SqliteError;

/// An unsigned number as SQLite keeps it. Numbers beyond its range are cut to its end: versions and positions are counted
/// up from 1 and never come near, bounds of queries mean the same.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(super) fn unsigned(number: i64, table: &'static str, row: &str) -> Result<u64, SqliteError> {
    u64::try_from(number).map_err(|_| SqliteError::corrupt(table, row))
}

/// A text that must parse.
pub(super) fn parsed<T: FromStr>(text: &str, table: &'static str, row: &str) -> Result<T, SqliteError> {
    text.parse().map_err(|_| SqliteError::corrupt(table, row))
}
