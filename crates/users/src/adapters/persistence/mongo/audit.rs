//! What an audit reads of accounts in MongoDB.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contracts::audit::Backlog;
use contracts::ids::UserId;
use futures::TryStreamExt as _;
use messaging::mongo::{InvalidMongoUrl, MongoDatabase, backlog};
use mongodb::bson::{Document, doc};

use super::error::StoreError;
use super::{DEFAULT_NAME, USERS};
use crate::application::audit::UserAudit;
use crate::application::ports::RepositoryError;

/// [`UserAudit`] of one database.
pub struct MongoUserAudit(MongoDatabase);

impl MongoUserAudit {
    /// The database of this address; it is asked nothing yet, and never made ready: no collection or index is made.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str) -> Result<Self, InvalidMongoUrl> {
        Ok(Self(MongoDatabase::open(url, DEFAULT_NAME, Vec::new()).await?))
    }
}

#[async_trait]
impl UserAudit for MongoUserAudit {
    async fn find_known(&self, users: &BTreeSet<UserId>) -> Result<BTreeSet<UserId>, RepositoryError> {
        let ids: Vec<String> = users.iter().map(ToString::to_string).collect();
        let read = async {
            let accounts = self.0.collection::<Document>(USERS);
            let found = accounts.find(doc! { "_id": { "$in": ids } }).projection(doc! { "_id": 1 }).await?;
            let found: Vec<Document> = found.try_collect().await?;
            let known = found.iter().filter_map(|account| account.get_str("_id").ok()?.parse().ok());
            Ok::<_, StoreError>(known.collect())
        };
        Ok(self.0.look(read).await?)
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        Ok(backlog(&self.0).await.map_err(StoreError::from)?)
    }
}
