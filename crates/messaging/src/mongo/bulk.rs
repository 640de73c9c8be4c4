//! Many writes of a transaction in one command, whichever collections they are in.

use mongodb::bson::Document;
use mongodb::options::{UpdateOneModel, WriteModel};
use mongodb::{Client, ClientSession, Collection};
use serde::Serialize;

use super::error::MongoError;

/// Writes that are sent together, in their order, as one `bulkWrite`: each round trip of a transaction keeps others waiting.
///
/// MongoDB 8.0 has the command, <https://www.mongodb.com/docs/manual/reference/command/bulkWrite/>. It must not be the first of
/// its transaction: it takes no read concern from everything that speaks MongoDB's protocol.
#[derive(Default)]
pub struct Bulk {
    models: Vec<WriteModel>,
    guarded: i64,
}

impl Bulk {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts the document.
    ///
    /// # Errors
    /// [`MongoError::Document`] when BSON can't say it.
    pub fn insert<T: Serialize + Send + Sync>(&mut self, into: &Collection<T>, document: &T) -> Result<(), MongoError> {
        self.models.push(into.insert_one_model(document)?.into());
        Ok(())
    }

    /// Changes the one document that the filter fits. When there is none, the whole fails with [`MongoError::Stale`]: the filter
    /// is to name what was read before.
    pub fn update<T: Send + Sync>(&mut self, of: &Collection<T>, filter: Document, change: Document) {
        let update = UpdateOneModel::builder().namespace(of.namespace()).filter(filter).update(change).build();
        self.models.push(update.into());
        self.guarded += 1;
    }

    pub(super) async fn run(self, client: &Client, session: &mut ClientSession) -> Result<(), MongoError> {
        if self.models.is_empty() {
            return Ok(());
        }
        let done = client.bulk_write(self.models).session(session).await?;
        if done.matched_count == self.guarded { Ok(()) } else { Err(MongoError::Stale) }
    }
}
