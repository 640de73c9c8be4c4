//! Where SQLite's errors end.

use std::convert::Infallible;

use observability::db::{Fault, StoreFault};
use sqlite::StoreError;

use crate::application::ports::{ChangeError, RepositoryError};

/// What may go wrong inside a transaction; `R` is what a rule may say.
pub(super) enum Failure<R = Infallible> {
    /// A rule says no.
    Refused(R),
    /// SQLite failed.
    Store(StoreError),
    /// A row makes no sense.
    Corrupt { table: &'static str, row: String },
}

impl<R> Failure<R> {
    pub(super) fn corrupt(table: &'static str, row: impl ToString) -> Self {
        Self::Corrupt { table, row: row.to_string() }
    }
}

impl Failure {
    /// The same failure of a transaction in which rules may say no.
    pub(super) fn widen<R>(self) -> Failure<R> {
        match self {
            Self::Refused(never) => match never {},
            Self::Store(error) => Failure::Store(error),
            Self::Corrupt { table, row } => Failure::Corrupt { table, row },
        }
    }
}

impl<R> StoreFault for Failure<R> {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Refused(_) => None,
            Self::Store(error) => error.fault(),
            Self::Corrupt { table, row } => Some(Fault::new("corrupt", format!("row {row} of {table} makes no sense"))),
        }
    }
}

impl<R> From<StoreError> for Failure<R> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<R> From<rusqlite::Error> for Failure<R> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for RepositoryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(never) => match never {},
            Failure::Store(error) => Self::Unavailable(Box::new(error)),
            Failure::Corrupt { table, row } => Self::Corrupt { table, row },
        }
    }
}

impl<R: std::error::Error> From<Failure<R>> for ChangeError<R> {
    fn from(failure: Failure<R>) -> Self {
        match failure {
            Failure::Refused(refused) => Self::Refused(refused),
            Failure::Store(error) => Self::Store(RepositoryError::Unavailable(Box::new(error))),
            Failure::Corrupt { table, row } => Self::Store(RepositoryError::Corrupt { table, row }),
        }
    }
}
