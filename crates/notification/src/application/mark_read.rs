//! A user has read one notification, or all of them.

use std::sync::Arc;

use contracts::Clock;
use contracts::ids::{NotificationId, UserId};

use crate::application::ports::InboxRepository;
use crate::application::{Cause, NotificationError};
use crate::domain::notification::Notification;

/// The use case.
pub struct MarkRead {
    inbox: Arc<dyn InboxRepository>,
    clock: Arc<dyn Clock>,
}

impl MarkRead {
    /// The use case with its ports.
    pub fn new(inbox: Arc<dyn InboxRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { inbox, clock }
    }

    /// Marks one of the user's notifications read, on all their devices; idempotent.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`], also for another user's; [`NotificationError::Store`].
    pub async fn one(&self, user_id: UserId, id: NotificationId) -> Result<Notification, NotificationError> {
        let found = self.inbox.mark_read(user_id, id, self.clock.now(), Cause::current()).await;
        found.map_err(NotificationError::Store)?.ok_or(NotificationError::NotFound)
    }

    /// Marks all of the user's notifications read and says how many were unread; idempotent.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn all(&self, user_id: UserId) -> Result<u64, NotificationError> {
        self.inbox.mark_all_read(user_id, self.clock.now(), Cause::current()).await.map_err(NotificationError::Store)
    }
}
