//! Why a statement of this adapter failed; driver errors end here.

use std::fmt::Display;

use messaging::postgres::{StoreError, sql};

use crate::application::ports::RepositoryError;

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        // Keys, unique indexes, foreign keys, checks: someone else wrote what this write relies on not being there.
        if error.is_constraint_violation() {
            return Self::Conflict;
        }
        match error.undecodable_column() {
            Some(column) => Self::Corrupt { table: "payments", row: format!("column {column}") },
            None => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<sql::Error> for RepositoryError {
    fn from(error: sql::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// A row that makes no sense.
pub(super) fn corrupt(table: &'static str, row: impl Display) -> RepositoryError {
    RepositoryError::Corrupt { table, row: row.to_string() }
}
