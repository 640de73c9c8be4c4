//! Everything that can keep a use case from being done.

use std::time::Duration;

use crate::application::ports::{HashingError, RepositoryError};
use crate::domain::{BanReason, TooManyAttempts};

/// Why a use case was not done.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The address has an account.
    #[error("the email address has an account")]
    EmailTaken,
    /// Email or password is wrong; which, is not told.
    #[error("email or password is wrong")]
    InvalidCredentials,
    /// The right password, but a banned account.
    #[error("the account is banned")]
    AccountBanned {
        /// Why.
        reason: BanReason,
    },
    /// Too many wrong passwords for the address.
    #[error("too many failed log-ins")]
    TooManyAttempts {
        /// When the next try will be heard.
        retry_after: Duration,
    },
    /// The refresh token is unknown, used, expired or of a session that was ended.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// There is no such user, or the caller may not know.
    #[error("there is no such user")]
    UserNotFound,
    /// Admins keep themselves from losing the last key to the house.
    #[error("nobody bans themselves or takes the role admin from themselves")]
    AgainstOneself,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hashing(#[source] HashingError),
    /// The store failed.
    #[error("accounts could not be read or written")]
    Store(#[source] RepositoryError),
}

impl From<RepositoryError> for UsersError {
    fn from(error: RepositoryError) -> Self {
        Self::Store(error)
    }
}

impl From<HashingError> for UsersError {
    fn from(error: HashingError) -> Self {
        Self::Hashing(error)
    }
}

impl From<TooManyAttempts> for UsersError {
    fn from(refused: TooManyAttempts) -> Self {
        Self::TooManyAttempts { retry_after: refused.retry_after }
    }
}
