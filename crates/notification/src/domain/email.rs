//! Emails on their way out, and how long to try.

use std::time::Duration;

use contracts::Timestamp;
use contracts::ids::{NotificationId, UserId};

use crate::domain::email_content::EmailContent;

/// The wait after the first failure; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// An email that could not be sent for this long is given up (RFC 5321 §4.5.4.1: "at least 4-5 days").
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(5 * 24);

/// An email that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedEmail {
    /// The notification that it brings; also names the email.
    pub notification_id: NotificationId,
    /// To whom.
    pub user_id: UserId,
    /// The subject.
    pub subject: String,
    /// What it says, without greeting.
    pub content: EmailContent,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// The trace that caused it.
    pub traceparent: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// How often sending it failed.
    pub failures: u32,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again then.
    RetryAt(Timestamp),
    /// Nobody will read it any more.
    GiveUp,
}

impl QueuedEmail {
    /// What to do after one more failure at `now`: wait longer each time, and not for ever.
    pub fn after_failure(&self, now: Timestamp) -> AfterFailure {
        let wait = 1_u32.checked_shl(self.failures).map_or(LONGEST_WAIT, |times| FIRST_WAIT.saturating_mul(times));
        if now.since(self.created_at) >= GIVE_UP_AFTER {
            AfterFailure::GiveUp
        } else {
            AfterFailure::RetryAt(now.plus(wait.min(LONGEST_WAIT)))
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn email(failures: u32) -> QueuedEmail {
        QueuedEmail {
            notification_id: NotificationId::from_uuid(Uuid::nil()),
            user_id: UserId::from_uuid(Uuid::nil()),
            subject: String::new(),
            content: EmailContent { text: "Text.".to_owned(), html: None },
            request_id: None,
            traceparent: None,
            created_at: Timestamp::from_unix_ms(0),
            failures,
        }
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        let now = Timestamp::from_unix_ms(1000);
        for (failures, seconds) in [(0, 1), (1, 2), (5, 32), (12, 3600), (31, 3600), (32, 3600), (u32::MAX, 3600)] {
            let expected = AfterFailure::RetryAt(now.plus(Duration::from_secs(seconds)));
            assert_eq!(email(failures).after_failure(now), expected, "{failures}");
        }
    }

    #[test]
    fn after_five_days_an_email_is_given_up() {
        let end = Timestamp::from_unix_ms(0).plus(GIVE_UP_AFTER);
        assert_eq!(email(1).after_failure(end), AfterFailure::GiveUp);
        assert_ne!(email(1).after_failure(end.minus(Duration::from_millis(1))), AfterFailure::GiveUp);
    }
}
