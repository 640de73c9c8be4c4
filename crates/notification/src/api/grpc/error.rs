//! The one place where an error becomes a refusal.

use std::time::Duration;

use contracts::{Reason, Refusal};
use observability::logs::error_chain;
use tonic::Status;

use crate::application::NotificationError;
use crate::application::ports::RepositoryError;

/// What the caller is told; what they must not be told is logged.
pub(super) fn refusal(error: NotificationError) -> Status {
    let refusal = match &error {
        NotificationError::NotFound => Refusal::new(Reason::NotificationNotFound, Reason::NotificationNotFound.title()),
        NotificationError::BeyondHead { head_seq } => {
            Refusal::invalid("cursor", format!("must be at most {head_seq}, the position of the newest entry"))
        }
        NotificationError::Store(RepositoryError::Unavailable(_) | RepositoryError::Conflict) => {
            tracing::warn!(error = %error_chain(&error), "the store failed a call");
            Refusal::new(Reason::Unavailable, Reason::Unavailable.title()).retry_after(Duration::from_secs(1))
        }
        NotificationError::Store(RepositoryError::Corrupt { .. }) => {
            tracing::error!(error = %error_chain(&error), "a call met a corrupt row");
            Refusal::new(Reason::Internal, Reason::Internal.title())
        }
    };
    refusal.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: NotificationError) -> Refusal {
        Refusal::from_status(&refusal(error))
    }

    #[test]
    fn a_store_that_is_away_is_worth_a_second_try_and_a_corrupt_row_is_ours_to_mend() {
        let away = told(NotificationError::Store(RepositoryError::Unavailable("secret path".into())));
        assert_eq!((away.reason, away.retry_after), (Reason::Unavailable, Some(Duration::from_secs(1))));
        assert!(!away.detail.contains("secret"));
        let corrupt = told(NotificationError::Store(RepositoryError::Corrupt { table: "secret", row: "1".to_owned() }));
        assert_eq!(corrupt.reason, Reason::Internal);
        assert!(!corrupt.detail.contains("secret"));
    }
}
