//! The one place where an error of the chat becomes a refusal.

use std::time::Duration;

use contracts::{Reason, Refusal};
use observability::logs::error_chain;
use tonic::Status;

use crate::application::chat::ChatError;
use crate::application::ports::RepositoryError;

/// What the caller is told; what they must not be told is logged.
pub(super) fn refusal(error: ChatError) -> Status {
    let plain = |reason: Reason| Refusal::new(reason, reason.title());
    let refusal = match &error {
        ChatError::RoomNotFound => plain(Reason::ChatRoomNotFound),
        ChatError::NotAMember => plain(Reason::NotAMember),
        ChatError::MessageNotFound => plain(Reason::ChatMessageNotFound),
        ChatError::OrderNotFound => plain(Reason::OrderNotFound),
        ChatError::UserNotFound => plain(Reason::UserNotFound),
        ChatError::NotTheCustomer => Refusal::new(Reason::NotAllowed, error.to_string()),
        ChatError::Directory(_) => {
            tracing::warn!(error = %error_chain(&error), "the users service failed a call");
            plain(Reason::Unavailable).retry_after(Duration::from_secs(1))
        }
        ChatError::Store(RepositoryError::Unavailable(_) | RepositoryError::Conflict) => {
            tracing::warn!(error = %error_chain(&error), "the store failed a call");
            plain(Reason::Unavailable).retry_after(Duration::from_secs(1))
        }
        ChatError::Store(RepositoryError::Corrupt { .. }) => {
            tracing::error!(error = %error_chain(&error), "a call met a corrupt row");
            plain(Reason::Internal)
        }
    };
    refusal.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_worth_a_second_try_unless_it_is_ours_to_mend_and_no_cause_is_told() {
        let told = |error| Refusal::from_status(&refusal(error));
        let away = told(ChatError::Store(RepositoryError::Unavailable("secret path".into())));
        assert_eq!((away.reason, away.retry_after), (Reason::Unavailable, Some(Duration::from_secs(1))));
        let corrupt = told(ChatError::Store(RepositoryError::Corrupt { table: "secret", row: "1".to_owned() }));
        assert_eq!(corrupt.reason, Reason::Internal);
        assert!(!format!("{away}{corrupt}").contains("secret"));
    }
}
