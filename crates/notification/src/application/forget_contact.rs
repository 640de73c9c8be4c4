//! A user changed: where the next email goes is asked anew.

use std::sync::Arc;

use contracts::ids::UserId;

use crate::application::ports::{ContactRepository, RepositoryError};

/// The use case.
pub struct ForgetContact {
    contacts: Arc<dyn ContactRepository>,
}

impl ForgetContact {
    /// The use case with its port.
    pub fn new(contacts: Arc<dyn ContactRepository>) -> Self {
        Self { contacts }
    }

    /// Forgets how the user was reached before this version of the account. Asks nobody: whoever never gets an email is never
    /// asked about, and an event needs no service but this one. Neither repetition nor disorder of events does harm.
    ///
    /// # Errors
    /// When the store failed; nothing was forgotten.
    pub async fn run(&self, user_id: UserId, version: u64) -> Result<(), RepositoryError> {
        self.contacts.forget_contact(user_id, version).await
    }
}
