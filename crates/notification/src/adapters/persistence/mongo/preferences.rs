//! What users chose.

use async_trait::async_trait;
use contracts::ids::UserId;
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::bson::doc;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::{MongoStore, PREFERENCES};
use crate::application::ports::{PreferenceRepository, RepositoryError};
use crate::domain::kind::NotificationKind;

#[derive(Serialize, Deserialize)]
pub(super) struct PreferenceDocument {
    user_id: String,
    kind: String,
    pub(super) email: bool,
}

#[async_trait]
impl PreferenceRepository for MongoStore {
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, bool)>, RepositoryError> {
        let list = async {
            let choices = self.collection::<PreferenceDocument>(PREFERENCES);
            let found: Vec<_> =
                choices.find(doc! { "user_id": user_id.to_string() }).await?.try_collect::<Vec<_>>().await?;
            let known = found.into_iter().map(|choice| match NotificationKind::find(&choice.kind) {
                Some(kind) => Ok((kind, choice.email)),
                None => Err(StoreError::corrupt(PREFERENCES, format!("{user_id}/{}", choice.kind))),
            });
            known.collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list preferences", list).await?)
    }

    async fn save_preferences(
        &self,
        user_id: UserId,
        choices: Vec<(NotificationKind, bool)>,
    ) -> Result<(), RepositoryError> {
        let save = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_save(&mut writing, user_id, &choices).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("save preferences", save).await?)
    }
}

impl MongoStore {
    async fn try_save(
        &self,
        writing: &mut Writing<'_>,
        user_id: UserId,
        choices: &[(NotificationKind, bool)],
    ) -> Result<(), StoreError> {
        let session = writing.begin().await?;
        for (kind, email) in choices {
            let this = doc! { "user_id": user_id.to_string(), "kind": kind.as_str() };
            let choice = doc! { "$set": { "email": *email } };
            let preferences = self.collection::<PreferenceDocument>(PREFERENCES);
            preferences.update_one(this, choice).upsert(true).session(&mut *session).await?;
        }
        Ok(())
    }
}
