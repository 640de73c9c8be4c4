//! Why a statement of this adapter failed; driver errors end here.

use std::fmt::Display;

use observability::db::{Fault, StoreFault};
use rusqlite::ErrorCode;
use sqlite::StoreError;

use crate::application::ports::RepositoryError;

/// A row that makes no sense.
#[derive(Debug)]
pub(super) struct InvalidRow {
    pub(super) table: &'static str,
    pub(super) row: String,
}

impl InvalidRow {
    pub(super) fn new(table: &'static str, row: impl Display) -> Self {
        Self { table, row: row.to_string() }
    }
}

/// What the closures of this adapter fail with.
pub(super) enum Failure {
    Conflict,
    Invalid(InvalidRow),
    Store(StoreError),
}

impl StoreFault for Failure {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Conflict => Some(Fault::new("conflict", "the payment changed in the meantime")),
            Self::Invalid(InvalidRow { table, row }) => {
                Some(Fault::new("corrupt", format!("row {row} of {table} makes no sense")))
            }
            Self::Store(error) => error.fault(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InvalidRow> for Failure {
    fn from(row: InvalidRow) -> Self {
        Self::Invalid(row)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        // Keys, unique indexes, foreign keys: someone else wrote what this write relies on not being there.
        if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
            return Self::Conflict;
        }
        Self::Store(error.into())
    }
}

impl From<Failure> for RepositoryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict => Self::Conflict,
            Failure::Invalid(InvalidRow { table, row }) => Self::Corrupt { table, row },
            Failure::Store(error) => Self::Unavailable(Box::new(error)),
        }
    }
}
