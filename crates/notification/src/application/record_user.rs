//! A user registered or changed: email goes to where they are now.

use std::sync::Arc;

use crate::application::ports::{ContactRepository, RepositoryError};
use crate::domain::contact::Contact;

/// The use case.
pub struct RecordUser {
    contacts: Arc<dyn ContactRepository>,
}

impl RecordUser {
    /// The use case with its port.
    pub fn new(contacts: Arc<dyn ContactRepository>) -> Self {
        Self { contacts }
    }

    /// Keeps the contact unless a newer one is known; so neither repetition nor disorder of events does harm.
    ///
    /// # Errors
    /// When the store failed; nothing was kept.
    pub async fn run(&self, contact: Contact) -> Result<(), RepositoryError> {
        self.contacts.save_contact(contact).await
    }
}
