//! Why a call was refused.

use crate::application::ports::{DirectoryError, RepositoryError};

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// There is no such room, or the caller may neither see nor join it.
    #[error("there is no such room")]
    RoomNotFound,
    /// The caller may join the room and has not.
    #[error("the caller is not a member of the room")]
    NotAMember,
    /// The room has no such message.
    #[error("there is no such message in the room")]
    MessageNotFound,
    /// Nobody told of such an order, or it is another customer's.
    #[error("there is no such order")]
    OrderNotFound,
    /// The user to be added is none.
    #[error("there is no such user")]
    UserNotFound,
    /// Somebody who is not the customer was to be added to a support room.
    #[error("only the customer of the order can be added to its support room")]
    NotTheCustomer,
    /// Whether there is such a user could not be found out.
    #[error("the user could not be looked up")]
    Directory(#[source] DirectoryError),
    /// The store failed.
    #[error("the chat could not be read or written")]
    Store(#[source] RepositoryError),
}
