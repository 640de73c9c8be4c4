//! How users are reached.

use async_trait::async_trait;
use contracts::ids::UserId;
use messaging::mongo::MongoError;
use mongodb::bson::doc;
use serde::{Deserialize, Serialize};

use super::error::{StoreError, integer, unsigned};
use super::{CONTACTS, MongoStore};
use crate::application::ports::{ContactRepository, RepositoryError};
use crate::domain::contact::Contact;

#[derive(Serialize, Deserialize)]
struct ContactDocument {
    #[serde(rename = "_id")]
    user_id: String,
    email: String,
    name: String,
    version: i64,
}

#[async_trait]
impl ContactRepository for MongoStore {
    async fn save_contact(&self, contact: Contact) -> Result<(), RepositoryError> {
        let save = async {
            let older = doc! { "_id": contact.user_id.to_string(), "version": { "$lt": integer(contact.version) } };
            let newest = doc! { "$set": {
                "email": &contact.email, "name": &contact.name, "version": integer(contact.version),
            } };
            let contacts = self.collection::<ContactDocument>(CONTACTS);
            let mut raced = false;
            loop {
                // When the one that is there is as new, nothing fits, and the id of a second one is taken.
                let saved = contacts.update_one(older.clone(), newest.clone()).upsert(true).await;
                match saved.map_err(MongoError::from) {
                    // Or an older one was made in the same moment: the second try replaces it.
                    Err(MongoError::Duplicate) if !raced => raced = true,
                    Ok(_) | Err(MongoError::Duplicate) => return Ok(()),
                    Err(error) => return Err(StoreError::from(error)),
                }
            }
        };
        Ok(self.database.within("save contact", save).await?)
    }

    async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError> {
        let find = async {
            let contacts = self.collection::<ContactDocument>(CONTACTS);
            let Some(found) = contacts.find_one(doc! { "_id": user_id.to_string() }).await? else { return Ok(None) };
            let version = unsigned(found.version, CONTACTS, &found.user_id)?;
            Ok::<_, StoreError>(Some(Contact { user_id, email: found.email, name: found.name, version }))
        };
        Ok(self.database.within("find contact", find).await?)
    }
}
