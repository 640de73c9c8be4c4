//! Why a call was refused.

use crate::application::ports::RepositoryError;

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The caller has no such notification.
    #[error("there is no such notification")]
    NotFound,
    /// What was to be acknowledged is not in the inbox yet.
    #[error("the inbox ends at {head_seq}")]
    BeyondHead {
        /// Its newest position.
        head_seq: u64,
    },
    /// The store failed.
    #[error("the inbox could not be read or written")]
    Store(#[source] RepositoryError),
}
