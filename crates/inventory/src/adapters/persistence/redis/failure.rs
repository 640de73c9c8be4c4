//! Where the errors of Redis end.

use redis::{ErrorKind, RedisError};

use crate::application::ports::{ChangeError, RepositoryError};

/// What may go wrong with a key.
#[derive(Debug)]
pub(super) enum Failure {
    /// Redis failed, or is not there.
    Redis(RedisError),
    /// The same, as the port says it, or what was to be saved can't be written as JSON.
    Elsewhere(Box<dyn std::error::Error + Send + Sync>),
    /// A key holds what it can't.
    Corrupt { table: &'static str, row: String },
    /// It was changed every time between reading and writing.
    Contended,
}

impl Failure {
    pub(super) fn corrupt(table: &'static str, row: impl ToString) -> Self {
        Self::Corrupt { table, row: row.to_string() }
    }

    /// What was read has another type, or is no text: damage of `row`; else Redis failed.
    pub(super) fn reading(error: RedisError, table: &'static str, row: impl ToString) -> Self {
        let damaged = matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType)
            || error.code() == Some("WRONGTYPE");
        if damaged { Self::corrupt(table, row) } else { Self::Redis(error) }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Elsewhere(Box::new(error))
    }
}

impl From<Failure> for RepositoryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Redis(error) => Self::Unavailable(Box::new(error)),
            Failure::Elsewhere(error) => Self::Unavailable(error),
            Failure::Corrupt { table, row } => Self::Corrupt { table, row },
            Failure::Contended => Self::Conflict,
        }
    }
}

impl<R: std::error::Error> From<Failure> for ChangeError<R> {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}
