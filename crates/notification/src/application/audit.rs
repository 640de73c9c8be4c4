//! What notification tells an audit across stores: facts as they are stored, judged by nobody here.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::audit::{Backlog, Page, Span};
use contracts::ids::{OrderId, UserId};

use super::ports::RepositoryError;

/// A notification as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeFacts {
    /// Of which order.
    pub order_id: OrderId,
    /// Whose.
    pub user_id: UserId,
    /// `order_confirmed`, …
    pub kind: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether the inbox of its user carries it at the position that it names.
    pub is_in_inbox: bool,
    /// The user did not want to be told in the inbox: it is in none, and that is right.
    pub is_muted: bool,
}

/// One user's inbox, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxFacts {
    /// Whose.
    pub user_id: UserId,
    /// Entries.
    pub entries: u64,
    /// Position of the first; 0 without any.
    pub first_seq: u64,
    /// Position of the last; 0 without any.
    pub last_seq: u64,
    /// Entries that carry a notification.
    pub notification_entries: u64,
    /// Notifications of the user.
    pub notifications: u64,
}

/// Reads the notification store for an audit: it writes nothing, and runs no migration. No text of a message is told.
#[async_trait]
pub trait NotificationAudit: Send + Sync {
    /// Notifications of orders of the span by order id, about `limit`, those left out at the user's wish among them; those of
    /// one order are never on two pages.
    ///
    /// # Errors
    /// [`RepositoryError::Corrupt`] when a row makes no sense.
    async fn list_notices(&self, span: Span, limit: usize) -> Result<Page<NoticeFacts>, RepositoryError>;

    /// Inboxes of users of the span by user id, about `limit`, of one moment as far as the engine can.
    async fn list_inboxes(&self, span: Span, limit: usize) -> Result<Page<InboxFacts>, RepositoryError>;

    /// Events that wait to be published.
    async fn backlog(&self) -> Result<Backlog, RepositoryError>;
}
