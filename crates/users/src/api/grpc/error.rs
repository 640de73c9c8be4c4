//! Errors of the use cases, in words for the caller.

use std::time::Duration;

use contracts::{Reason, Refusal};
use observability::logs::error_chain;
use tonic::Status;

use crate::application::UsersError;
use crate::application::ports::{HashingError, RepositoryError};

/// What is not available now may be in a moment.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The status that tells the caller.
pub fn status(error: UsersError) -> Status {
    refusal(error).into()
}

fn refusal(error: UsersError) -> Refusal {
    let plain = |reason: Reason| Refusal::new(reason, reason.title());
    match error {
        UsersError::EmailTaken => plain(Reason::EmailTaken).with_field("/email", "has an account already"),
        UsersError::InvalidCredentials => plain(Reason::InvalidCredentials),
        UsersError::AccountBanned { reason } => {
            Refusal::new(Reason::AccountBanned, format!("The account is banned: {}", reason.as_str()))
        }
        UsersError::TooManyAttempts { retry_after } => plain(Reason::TooManyAttempts).retry_after(retry_after),
        UsersError::InvalidRefreshToken => plain(Reason::InvalidRefreshToken),
        UsersError::UserNotFound => plain(Reason::UserNotFound),
        UsersError::AgainstOneself => {
            Refusal::new(Reason::NotAllowed, "Nobody bans themselves or takes the role admin from themselves")
        }
        UsersError::Hashing(HashingError::Busy) => {
            tracing::warn!("too many passwords wait to be hashed, a call was turned away");
            plain(Reason::Unavailable).retry_after(RETRY_AFTER)
        }
        UsersError::Store(ref source @ RepositoryError::Unavailable(_)) => {
            tracing::warn!(error = %error_chain(source), "the store failed");
            plain(Reason::Unavailable).retry_after(RETRY_AFTER)
        }
        UsersError::Hashing(HashingError::Failed(_))
        | UsersError::Store(RepositoryError::Conflict | RepositoryError::Corrupt { .. }) => {
            tracing::error!(error = %error_chain(&error), "a call failed");
            plain(Reason::Internal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_worth_another_try_and_a_corrupt_row_is_not() {
        let away = refusal(UsersError::Store(RepositoryError::Unavailable("disk /dev/sda on fire".into())));
        assert_eq!((away.reason, away.retry_after), (Reason::Unavailable, Some(RETRY_AFTER)));
        let corrupt = RepositoryError::Corrupt { table: "users", row: "7".to_owned() };
        let corrupt = refusal(UsersError::Store(corrupt));
        assert_eq!((corrupt.reason, corrupt.retry_after), (Reason::Internal, None));
        for shown in [away, corrupt] {
            assert!(!shown.detail.contains("sda") && !shown.detail.contains("users"), "{}", shown.detail);
        }
    }

    #[test]
    fn a_full_queue_asks_to_come_back() {
        let busy = refusal(UsersError::Hashing(HashingError::Busy));
        assert_eq!((busy.reason, busy.retry_after), (Reason::Unavailable, Some(RETRY_AFTER)));
    }
}
