//! A user's device has everything up to a position of the inbox.

use std::sync::Arc;

use contracts::ids::UserId;

use crate::application::NotificationError;
use crate::application::ports::InboxRepository;
use crate::domain::inbox::Acked;

/// The use case.
pub struct Acknowledge {
    inbox: Arc<dyn InboxRepository>,
}

impl Acknowledge {
    /// The use case with its port.
    pub fn new(inbox: Arc<dyn InboxRepository>) -> Self {
        Self { inbox }
    }

    /// Keeps the highest position that was acknowledged, and says which that is; idempotent.
    ///
    /// # Errors
    /// [`NotificationError::BeyondHead`]: the inbox does not reach that far; [`NotificationError::Store`].
    pub async fn run(&self, user_id: UserId, seq: u64) -> Result<u64, NotificationError> {
        match self.inbox.acknowledge(user_id, seq).await.map_err(NotificationError::Store)? {
            Acked::UpTo(acked_seq) => Ok(acked_seq),
            Acked::BeyondHead { head_seq } => Err(NotificationError::BeyondHead { head_seq }),
        }
    }
}
