//! Signing keys in MongoDB.

use async_trait::async_trait;
use contracts::Timestamp;
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::bson::{Bson, doc};

use super::documents::{KeyDocument, date};
use super::error::StoreError;
use super::{MongoStore, SIGNING_KEYS};
use crate::application::ports::{RepositoryError, SigningKeyRepository};
use crate::domain::SigningKey;

#[async_trait]
impl SigningKeyRepository for MongoStore {
    async fn list(&self) -> Result<Vec<SigningKey>, RepositoryError> {
        let list = async {
            let documents: Vec<KeyDocument> = self.signing_keys().find(doc! {}).await?.try_collect().await?;
            documents.into_iter().map(KeyDocument::into_key).collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list signing keys", list).await?)
    }

    async fn succeed(&self, key: SigningKey, newest: Option<String>) -> Result<(), RepositoryError> {
        let succeeding = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.try_succeed(&mut writing, &key, newest.as_deref()).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("add signing key", succeeding).await?)
    }

    async fn forget_retired(&self, before: Timestamp) -> Result<usize, RepositoryError> {
        let forget = async {
            let retired = doc! { "retired_at": { "$lt": date(before) } };
            Ok::<_, StoreError>(self.signing_keys().delete_many(retired).await?.deleted_count)
        };
        Ok(usize::try_from(self.database.within("forget signing keys", forget).await?).unwrap_or(usize::MAX))
    }
}

impl MongoStore {
    async fn try_succeed(
        &self,
        writing: &mut Writing<'_>,
        key: &SigningKey,
        newest: Option<&str>,
    ) -> Result<(), StoreError> {
        let session = writing.begin().await?;
        // Two that add a key at once have no other document in common.
        let lock = doc! { "$inc": { "lock": 1_i64 } };
        self.locks().update_one(doc! { "_id": SIGNING_KEYS }, lock).upsert(true).session(&mut *session).await?;
        let active = doc! { "retired_at": Bson::Null };
        let order = doc! { "created_at": -1, "_id": -1 };
        let present = self.signing_keys().find_one(active.clone()).sort(order).session(&mut *session).await?;
        if present.as_ref().map(|key| key.kid.as_str()) != newest {
            return Err(StoreError::Conflict);
        }
        let retire = doc! { "$set": { "retired_at": date(key.created_at) } };
        self.signing_keys().update_many(active, retire).session(&mut *session).await?;
        self.signing_keys().insert_one(KeyDocument::of(key)).session(session).await?;
        Ok(())
    }
}
