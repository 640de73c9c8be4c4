//! What a user may read: their inbox, their notifications, how many are unread.

use std::sync::Arc;

use contracts::ids::UserId;

use crate::application::NotificationError;
use crate::application::ports::InboxRepository;
use crate::domain::inbox::InboxPage;
use crate::domain::notification::Notification;

/// A part of a user's notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationPage {
    /// Newest first.
    pub items: Vec<Notification>,
    /// Continue with notifications older than this; `None` at the end.
    pub next_before_seq: Option<u64>,
}

/// The queries.
pub struct Queries {
    inbox: Arc<dyn InboxRepository>,
}

impl Queries {
    /// The queries with their port.
    pub fn new(inbox: Arc<dyn InboxRepository>) -> Self {
        Self { inbox }
    }

    /// Entries after `after_seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn list_inbox(
        &self,
        user_id: UserId,
        after_seq: u64,
        limit: u32,
    ) -> Result<InboxPage, NotificationError> {
        self.inbox.list_inbox(user_id, after_seq, limit).await.map_err(NotificationError::Store)
    }

    /// Notifications older than `before_seq` (`None`: from the newest), newest first, at most `limit`.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn list_notifications(
        &self,
        user_id: UserId,
        unread_only: bool,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<NotificationPage, NotificationError> {
        // One more than wanted tells whether there is a next page.
        let found = self.inbox.list_notifications(user_id, unread_only, before_seq, limit + 1).await;
        let mut items = found.map_err(NotificationError::Store)?;
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_before_seq = items.last().filter(|_| has_more).map(|last| last.seq);
        Ok(NotificationPage { items, next_before_seq })
    }

    /// How many notifications are unread.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn count_unread(&self, user_id: UserId) -> Result<u64, NotificationError> {
        self.inbox.count_unread(user_id).await.map_err(NotificationError::Store)
    }
}
