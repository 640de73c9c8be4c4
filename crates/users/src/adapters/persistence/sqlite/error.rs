//! What SQLite says, in the words of the port.

use observability::db::{Fault, StoreFault};
use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use sqlite::StoreError;

use crate::application::ports::RepositoryError;

/// Why a statement or a row did not work out.
#[derive(Debug)]
pub(super) enum SqliteError {
    Store(StoreError),
    Conflict,
    Corrupt { table: &'static str, row: String },
}

impl StoreFault for SqliteError {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Store(error) => error.fault(),
            Self::Conflict => Some(Fault::new("conflict", "somebody else was first")),
            Self::Corrupt { table, .. } => Some(Fault::new("corrupt", format!("a row of {table} can't be understood"))),
        }
    }
}

impl From<StoreError> for SqliteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        // The one UNIQUE constraint that input can break is that of email addresses; all else that is unique is random.
        if code == Some(SQLITE_CONSTRAINT_UNIQUE) { Self::Conflict } else { Self::Store(error.into()) }
    }
}

impl From<SqliteError> for RepositoryError {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::Store(error) => Self::Unavailable(Box::new(error)),
            SqliteError::Conflict => Self::Conflict,
            SqliteError::Corrupt { table, row } => Self::Corrupt { table, row },
        }
    }
}
