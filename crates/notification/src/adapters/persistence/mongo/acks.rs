//! How far users' devices have their inbox. Apart from the inbox's own document, so that nobody who appends has to wait.

use contracts::ids::UserId;
use messaging::mongo::MongoError;
use mongodb::bson::doc;
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::error::{StoreError, integer, unsigned};
use super::{ACKS, MongoStore};
use crate::domain::inbox::Acked;

#[derive(Serialize, Deserialize)]
struct Ack {
    #[serde(rename = "_id")]
    user_id: String,
    seq: i64,
}

impl MongoStore {
    pub(super) async fn write_ack(&self, user_id: UserId, seq: u64) -> Result<Acked, StoreError> {
        // Devices repeat themselves. An inbox only grows: what it holds now it holds when the acknowledgement is written.
        let (acked, head_seq) = tokio::try_join!(self.acked_seq(user_id), self.head_seq(user_id))?;
        if seq <= acked {
            return Ok(Acked::UpTo(acked));
        }
        if seq > head_seq {
            return Ok(Acked::BeyondHead { head_seq });
        }
        match self.raise(user_id, seq).await {
            // Another device was the first in the same moment: now the document is there.
            Err(StoreError::Mongo(MongoError::Duplicate)) => self.raise(user_id, seq).await,
            raised => raised,
        }
    }

    async fn raise(&self, user_id: UserId, seq: u64) -> Result<Acked, StoreError> {
        let id = user_id.to_string();
        let raised = self
            .collection::<Ack>(ACKS)
            .find_one_and_update(doc! { "_id": &id }, doc! { "$max": { "seq": integer(seq) } })
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await?;
        Ok(Acked::UpTo(unsigned(raised.map_or(0, |ack| ack.seq), ACKS, &id)?))
    }

    /// The highest position that was acknowledged; 0 for none.
    pub(super) async fn acked_seq(&self, user_id: UserId) -> Result<u64, StoreError> {
        let id = user_id.to_string();
        let found = self.collection::<Ack>(ACKS).find_one(doc! { "_id": &id }).await?;
        unsigned(found.map_or(0, |ack| ack.seq), ACKS, &id)
    }
}
