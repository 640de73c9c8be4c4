//! How users are reached.

use async_trait::async_trait;
use contracts::ids::UserId;
use messaging::mongo::MongoError;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::error::{StoreError, integer, unsigned};
use super::{CONTACTS, MongoStore};
use crate::application::ports::{ContactRepository, RepositoryError};
use crate::domain::contact::Contact;

#[derive(Serialize, Deserialize)]
struct ContactDocument {
    #[serde(rename = "_id")]
    user_id: String,
    /// Absent until the users service was asked.
    email: Option<String>,
    /// Absent with it.
    name: Option<String>,
    /// The newest that was told.
    version: i64,
}

impl MongoStore {
    /// Applies the change unless the user's document does not fit `outdated`, which names it by its id and bounds its version;
    /// makes the document if there is none. Says whether anything was written.
    async fn replace_contact(&self, outdated: Document, change: Document) -> Result<bool, StoreError> {
        let contacts = self.collection::<ContactDocument>(CONTACTS);
        let mut raced = false;
        loop {
            // When the one that is there is too new, nothing fits, and the id of a second one is taken.
            let written = contacts.update_one(outdated.clone(), change.clone()).upsert(true).await;
            match written.map_err(MongoError::from) {
                Ok(_) => return Ok(true),
                // Or an older one was made in the same moment: the second try replaces it.
                Err(MongoError::Duplicate) if !raced => raced = true,
                Err(MongoError::Duplicate) => return Ok(false),
                Err(error) => return Err(StoreError::from(error)),
            }
        }
    }
}

#[async_trait]
impl ContactRepository for MongoStore {
    async fn save_contact(&self, contact: Contact) -> Result<bool, RepositoryError> {
        let save = async {
            let version = integer(contact.version);
            let not_newer = doc! { "_id": contact.user_id.to_string(), "version": { "$lte": version } };
            let change = doc! { "$set": { "email": &contact.email, "name": &contact.name, "version": version } };
            self.replace_contact(not_newer, change).await
        };
        Ok(self.database.within("save contact", save).await?)
    }

    async fn forget_contact(&self, user_id: UserId, version: u64) -> Result<(), RepositoryError> {
        let forget = async {
            let older = doc! { "_id": user_id.to_string(), "version": { "$lt": integer(version) } };
            let change = doc! { "$set": { "version": integer(version) }, "$unset": { "email": "", "name": "" } };
            self.replace_contact(older, change).await.map(drop)
        };
        Ok(self.database.within("forget contact", forget).await?)
    }

    async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError> {
        let find = async {
            let contacts = self.collection::<ContactDocument>(CONTACTS);
            let Some(found) = contacts.find_one(doc! { "_id": user_id.to_string() }).await? else { return Ok(None) };
            let version = unsigned(found.version, CONTACTS, &found.user_id)?;
            let (Some(email), Some(name)) = (found.email, found.name) else { return Ok(None) };
            Ok::<_, StoreError>(Some(Contact { user_id, email, name, version }))
        };
        Ok(self.database.within("find contact", find).await?)
    }
}
