//! What a user wants by email.

use std::sync::Arc;

use contracts::ids::UserId;

use crate::application::NotificationError;
use crate::application::ports::PreferenceRepository;
use crate::domain::kind::NotificationKind;

/// The use case.
pub struct Preferences {
    repository: Arc<dyn PreferenceRepository>,
}

impl Preferences {
    /// The use case with its port.
    pub fn new(repository: Arc<dyn PreferenceRepository>) -> Self {
        Self { repository }
    }

    /// Every kind there is, and whether it is also sent by email: yes, unless the user chose otherwise.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn list(&self, user_id: UserId) -> Result<Vec<(NotificationKind, bool)>, NotificationError> {
        let chosen = self.repository.list_preferences(user_id).await.map_err(NotificationError::Store)?;
        let choice = |kind| chosen.iter().find(|(other, _)| *other == kind).is_none_or(|(_, email)| *email);
        Ok(NotificationKind::ALL.into_iter().map(|kind| (kind, choice(kind))).collect())
    }

    /// Changes the kinds that are named, leaves the others, and returns all.
    ///
    /// # Errors
    /// [`NotificationError::Store`].
    pub async fn update(
        &self,
        user_id: UserId,
        choices: Vec<(NotificationKind, bool)>,
    ) -> Result<Vec<(NotificationKind, bool)>, NotificationError> {
        if !choices.is_empty() {
            self.repository.save_preferences(user_id, choices).await.map_err(NotificationError::Store)?;
        }
        self.list(user_id).await
    }
}
