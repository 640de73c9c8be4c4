//! What users chose.

use async_trait::async_trait;
use contracts::ids::UserId;
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::turns::in_transaction;
use super::{MongoStore, PREFERENCES};
use crate::application::ports::{PreferenceRepository, RepositoryError};
use crate::domain::kind::NotificationKind;
use crate::domain::preference::{ChannelChange, Channels};

#[derive(Serialize, Deserialize)]
struct PreferenceDocument {
    user_id: String,
    kind: String,
    /// Absent in documents of earlier builds.
    #[serde(default = "on")]
    push: bool,
    email: bool,
}

const fn on() -> bool {
    true
}

impl PreferenceDocument {
    fn channels(&self) -> Channels {
        Channels { push: self.push, email: self.email }
    }
}

#[async_trait]
impl PreferenceRepository for MongoStore {
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, Channels)>, RepositoryError> {
        let list = async {
            let choices = self.collection::<PreferenceDocument>(PREFERENCES);
            let found: Vec<_> =
                choices.find(doc! { "user_id": user_id.to_string() }).await?.try_collect::<Vec<_>>().await?;
            let known = found.into_iter().map(|choice| match NotificationKind::find(&choice.kind) {
                Some(kind) => Ok((kind, choice.channels())),
                None => Err(StoreError::corrupt(PREFERENCES, format!("{user_id}/{}", choice.kind))),
            });
            known.collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list preferences", list).await?)
    }

    async fn save_preferences(
        &self,
        user_id: UserId,
        changes: Vec<(NotificationKind, ChannelChange)>,
    ) -> Result<(), RepositoryError> {
        in_transaction!(self, "save preferences", user_id, |writing| self.try_save(&mut writing, user_id, &changes))
    }
}

impl MongoStore {
    /// How the user is told of this kind.
    pub(super) async fn channels_of(&self, user_id: UserId, kind: NotificationKind) -> Result<Channels, StoreError> {
        let choice = doc! { "user_id": user_id.to_string(), "kind": kind.as_str() };
        let choice = self.collection::<PreferenceDocument>(PREFERENCES).find_one(choice).await?;
        Ok(choice.map_or_else(Channels::default, |choice| choice.channels()))
    }

    async fn try_save(
        &self,
        writing: &mut Writing<'_>,
        user_id: UserId,
        changes: &[(NotificationKind, ChannelChange)],
    ) -> Result<(), StoreError> {
        let session = writing.begin().await?;
        for (kind, change) in changes {
            let this = doc! { "user_id": user_id.to_string(), "kind": kind.as_str() };
            let (mut chosen, mut otherwise) = (Document::new(), Document::new());
            for (channel, choice) in [("push", change.push), ("email", change.email)] {
                match choice {
                    Some(choice) => chosen.insert(channel, choice),
                    None => otherwise.insert(channel, true),
                };
            }
            let choice = doc! { "$set": chosen, "$setOnInsert": otherwise };
            let preferences = self.collection::<PreferenceDocument>(PREFERENCES);
            preferences.update_one(this, choice).upsert(true).session(&mut *session).await?;
        }
        Ok(())
    }
}
