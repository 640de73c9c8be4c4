//! What MongoDB and its driver say, without the data they say it about.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};

/// `DuplicateKey`, <https://www.mongodb.com/docs/manual/reference/error-codes/>.
const DUPLICATE_KEY: i32 = 11000;
/// `NamespaceExists`.
const NAMESPACE_EXISTS: i32 = 48;
/// `IndexNotFound`.
const INDEX_NOT_FOUND: i32 = 27;
/// `IndexOptionsConflict`, and `IndexKeySpecsConflict`.
const INDEX_CONFLICTS: [i32; 2] = [85, 86];

/// The store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// The server is there, but it is none that Souk can work with.
    #[error("{0}")]
    Unsuitable(&'static str),
    /// An index that keeps something unique is other than the service needs it. It is left alone: without it, what it keeps
    /// out could come in.
    #[error(
        "the unique index {index} of {collection} is not the one that this build needs: drop it while no service writes, \
         and it is made anew"
    )]
    OtherUniqueIndex {
        /// Where.
        collection: String,
        /// Its name.
        index: String,
    },
    /// Something unique was there already.
    #[error("a unique index refused the write")]
    Duplicate,
    /// A document was changed since it was read: run the whole transaction again, with what is there now.
    #[error("a document was changed meanwhile")]
    Stale,
    /// A document is not what its type says.
    #[error("a document can't be understood: {0}")]
    Document(String),
    /// The server is away, refused or failed.
    #[error("MongoDB: {what}")]
    Failed {
        /// Without any value of a document: the driver's own text quotes keys, and keys are email addresses.
        what: String,
        /// Another transaction was in the way, or the primary changed: run the whole transaction again.
        transient: bool,
        /// Whether the commit took effect is not known: ask for it again.
        commit_unknown: bool,
    },
    /// No answer within the time that an operation may take.
    #[error("MongoDB gave no answer in time")]
    TimedOut,
}

/// Errors that know whether running the transaction again may help.
pub trait Retryable {
    /// Whether the whole transaction should be run again.
    fn is_transient(&self) -> bool;
}

impl Retryable for MongoError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { transient: true, .. } | Self::Stale)
    }
}

impl MongoError {
    /// The collection exists already.
    pub(super) fn is_namespace_exists(error: &Error) -> bool {
        code(error) == Some(NAMESPACE_EXISTS)
    }

    /// An index with this name or these keys exists, and is another one.
    pub(super) fn is_index_conflict(error: &Error) -> bool {
        code(error).is_some_and(|code| INDEX_CONFLICTS.contains(&code))
    }

    /// The index does not exist.
    pub(super) fn is_index_not_found(error: &Error) -> bool {
        code(error) == Some(INDEX_NOT_FOUND)
    }

    pub(super) fn is_commit_unknown(&self) -> bool {
        matches!(self, Self::Failed { commit_unknown: true, .. })
    }
}

impl From<Error> for MongoError {
    fn from(error: Error) -> Self {
        // The driver calls it transient, too, that no server was found; it had looked for as long as a caller should wait.
        let no_server = matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. });
        let transient = !no_server && error.contains_label(TRANSIENT_TRANSACTION_ERROR);
        if code(&error) == Some(DUPLICATE_KEY) && !transient {
            return Self::Duplicate;
        }
        if let ErrorKind::Bson(error) = error.kind.as_ref() {
            return Self::Document(error.to_string());
        }
        let commit_unknown = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
        Self::Failed { what: describe(&error), transient, commit_unknown }
    }
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(many) => many.write_errors.as_ref()?.first().map(|write| write.code),
        // An ordered one ends with its first error.
        ErrorKind::BulkWrite(bulk) => bulk.write_errors.values().next().map(|write| write.code),
        _ => None,
    }
}

fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => format!("command failed with code {} {}", command.code, command.code_name),
        ErrorKind::Write(_) | ErrorKind::InsertMany(_) | ErrorKind::BulkWrite(_) => match code(error) {
            Some(code) => format!("write failed with code {code}"),
            None => "write failed".to_owned(),
        },
        // Of these the texts are the driver's own: addresses of servers and what the network said.
        kind @ (ErrorKind::ServerSelection { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported
        | ErrorKind::Transaction { .. }
        | ErrorKind::Shutdown) => kind.to_string(),
        _ => "the driver failed".to_owned(),
    }
}
