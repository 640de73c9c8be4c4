//! What MongoDB says, in the words of the port.

use messaging::mongo::{MongoError, Retryable};
use observability::db::{Fault, StoreFault};

use crate::application::ports::RepositoryError;

/// Why an operation or a document did not work out.
#[derive(Debug)]
pub(super) enum StoreError {
    Mongo(MongoError),
    Conflict,
    Corrupt { collection: &'static str, id: String },
}

impl Retryable for StoreError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Mongo(error) if error.is_transient())
    }
}

impl StoreFault for StoreError {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Mongo(error) => error.fault(),
            Self::Conflict => Some(Fault::new("conflict", "somebody else was first")),
            Self::Corrupt { collection, .. } => {
                Some(Fault::new("corrupt", format!("a document of {collection} can't be understood")))
            }
        }
    }
}

impl From<MongoError> for StoreError {
    fn from(error: MongoError) -> Self {
        match error {
            // The one unique index that input can break is that of email addresses; all else that is unique is random.
            MongoError::Duplicate => Self::Conflict,
            error => Self::Mongo(error),
        }
    }
}

impl From<mongodb::error::Error> for StoreError {
    fn from(error: mongodb::error::Error) -> Self {
        MongoError::from(error).into()
    }
}

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mongo(error) => Self::Unavailable(Box::new(error)),
            StoreError::Conflict => Self::Conflict,
            StoreError::Corrupt { collection, id } => Self::Corrupt { table: collection, row: id },
        }
    }
}
