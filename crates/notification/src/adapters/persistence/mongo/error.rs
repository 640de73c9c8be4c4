//! Where errors of the driver stop; values as MongoDB keeps them.

use std::str::FromStr;

use contracts::Timestamp;
use messaging::mongo::{MongoError, Retryable};
use mongodb::bson::DateTime;
use observability::db::{Fault, StoreFault};

use crate::application::ports::RepositoryError;

/// What an operation fails with, inside this adapter.
#[derive(Debug)]
pub(super) enum StoreError {
    Mongo(MongoError),
    /// Something unique was there already, and will be there the next time.
    Taken,
    Corrupt {
        collection: &'static str,
        id: String,
    },
}

impl StoreError {
    pub(super) fn corrupt(collection: &'static str, id: impl ToString) -> Self {
        Self::Corrupt { collection, id: id.to_string() }
    }

    /// The same, where what is unique was not looked for before.
    pub(super) fn or_taken(self) -> Self {
        if matches!(self, Self::Mongo(MongoError::Duplicate)) { Self::Taken } else { self }
    }
}

impl Retryable for StoreError {
    /// What is unique was looked for before it was written: if it is there now, the next look will find it.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Mongo(error) if error.is_transient() || matches!(error, MongoError::Duplicate))
    }
}

impl StoreFault for StoreError {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Mongo(error) => error.fault(),
            Self::Taken => MongoError::Duplicate.fault(),
            Self::Corrupt { collection, .. } => {
                Some(Fault::new("corrupt", format!("a document of {collection} can't be understood")))
            }
        }
    }
}

impl From<MongoError> for StoreError {
    fn from(error: MongoError) -> Self {
        Self::Mongo(error)
    }
}

impl From<mongodb::error::Error> for StoreError {
    fn from(error: mongodb::error::Error) -> Self {
        Self::Mongo(error.into())
    }
}

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mongo(MongoError::Duplicate) | StoreError::Taken => Self::Conflict,
            StoreError::Mongo(error) => Self::Unavailable(Box::new(error)),
            StoreError::Corrupt { collection, id } => Self::Corrupt { table: collection, row: id },
        }
    }
}

/// A moment as MongoDB keeps it. Moments outside of the years that have a text (RFC 3339) are cut to their end: as bounds of
/// queries they mean the same.
pub(super) fn date(moment: Timestamp) -> DateTime {
    const FIRST_MS: i64 = -62_135_596_800_000; // 0001-01-01T00:00:00.000Z
    const LAST_MS: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
    DateTime::from_millis(moment.unix_ms().clamp(FIRST_MS, LAST_MS))
}

pub(super) fn moment(date: DateTime) -> Timestamp {
    Timestamp::from_unix_ms(date.timestamp_millis())
}

/// An unsigned number as MongoDB keeps it; beyond its range bounds of queries mean the same.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(super) fn unsigned(number: i64, collection: &'static str, id: &str) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::corrupt(collection, id))
}

/// A text that must parse.
pub(super) fn parsed<T: FromStr>(text: &str, collection: &'static str, id: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(collection, id))
}
