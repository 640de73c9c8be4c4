//! What a user wants to be told of, and how.

use std::sync::Arc;

use contracts::ids::UserId;

use crate::application::NotificationError;
use crate::application::ports::PreferenceRepository;
use crate::domain::kind::NotificationKind;
use crate::domain::preference::{ChannelChange, Channels};

/// The use case.
pub struct Preferences {
    repository: Arc<dyn PreferenceRepository>,
}

impl Preferences {
    /// The use case with its port.
    pub fn new(repository: Arc<dyn PreferenceRepository>) -> Self {
        Self { repository }
    }

    /// Every kind there is and its channels: all of them, unless the user chose otherwise.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn list(&self, user_id: UserId) -> Result<Vec<(NotificationKind, Channels)>, NotificationError> {
        let chosen = self.repository.list_preferences(user_id).await.map_err(NotificationError::Store)?;
        let choice = |kind| chosen.iter().find(|(other, _)| *other == kind).map(|(_, channels)| *channels);
        Ok(NotificationKind::ALL.into_iter().map(|kind| (kind, choice(kind).unwrap_or_default())).collect())
    }

    /// Changes the channels that are named, leaves the others, and returns all.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn update(
        &self,
        user_id: UserId,
        changes: Vec<(NotificationKind, ChannelChange)>,
    ) -> Result<Vec<(NotificationKind, Channels)>, NotificationError> {
        let changes: Vec<_> = changes.into_iter().filter(|(_, change)| *change != ChannelChange::default()).collect();
        if !changes.is_empty() {
            self.repository.save_preferences(user_id, changes).await.map_err(NotificationError::Store)?;
        }
        self.list(user_id).await
    }
}
