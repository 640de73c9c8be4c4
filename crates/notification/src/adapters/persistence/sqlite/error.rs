//! Where errors of the driver stop.

use observability::db::{Fault, StoreFault};
use rusqlite::ErrorCode;
use sqlite::StoreError;

use crate::application::ports::RepositoryError;

/// What a transaction fails with, inside this adapter.
#[derive(Debug)]
pub(super) struct SqliteError(RepositoryError);

impl SqliteError {
    pub(super) fn corrupt(table: &'static str, row: impl ToString) -> Self {
        Self(RepositoryError::Corrupt { table, row: row.to_string() })
    }
}

impl StoreFault for SqliteError {
    fn fault(&self) -> Option<Fault<'_>> {
        Some(match &self.0 {
            RepositoryError::Conflict => Fault::new("conflict", self.0.to_string()),
            RepositoryError::Corrupt { .. } => Fault::new("corrupt", self.0.to_string()),
            RepositoryError::Unavailable(source) => {
                let store = source.downcast_ref::<StoreError>().and_then(StoreFault::fault);
                store.unwrap_or_else(|| Fault::new("unavailable", source.to_string()))
            }
        })
    }
}

impl From<StoreError> for SqliteError {
    fn from(error: StoreError) -> Self {
        Self(match &error {
            StoreError::Sqlite(driver) if driver.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                RepositoryError::Conflict
            }
            StoreError::Sqlite(_) | StoreError::Dropped => RepositoryError::Unavailable(Box::new(error)),
        })
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<SqliteError> for RepositoryError {
    fn from(error: SqliteError) -> Self {
        error.0
    }
}
