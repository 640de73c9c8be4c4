//! How far an outbox in MongoDB is behind.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use super::database::InvalidMongoUrl;
use super::error::MongoError;
use super::outbox::{EVENTS, OUTBOX, StoredEvent, Waiting};
use crate::outbox::OutboxError;
use crate::outbox_status::{OutboxStatus, OutboxStatusSource, Unpublished};

/// How long to look for a server.
const SELECTION_TIMEOUT: Duration = Duration::from_millis(1500);
/// The longest that an answer may take, the connection included.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The outbox of a database. Of one that is not there it says that nothing waits.
pub struct MongoOutboxStatus {
    database: Database,
}

impl MongoOutboxStatus {
    /// The outbox of the database that the address names, `default_name` if it names none. Asks no server.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str, default_name: &str) -> Result<Self, InvalidMongoUrl> {
        let mut options = ClientOptions::parse(url).await.map_err(|_| InvalidMongoUrl)?;
        let name = options.default_database.clone().unwrap_or_else(|| default_name.to_owned());
        options.server_selection_timeout = Some(SELECTION_TIMEOUT);
        options.connect_timeout = Some(SELECTION_TIMEOUT);
        let client = Client::with_options(options).map_err(|_| InvalidMongoUrl)?;
        Ok(Self { database: client.database(&name) })
    }

    async fn ask(&self) -> Result<(u64, Option<StoredEvent>, Option<i64>), MongoError> {
        let events = self.database.collection::<StoredEvent>(EVENTS);
        let waiting = self.database.collection::<Waiting>(OUTBOX);
        let depth = waiting.count_documents(doc! {}).await?;
        let first = waiting.find_one(doc! {}).sort(doc! { "_id": 1 }).await?.map(|waiting| waiting.position);
        let oldest = match first {
            Some(position) => events.find_one(doc! { "_id": position }).await?,
            None => None,
        };
        let before = doc! { "_id": { "$lt": first.unwrap_or(i64::MAX) } };
        let published = events.find_one(before).sort(doc! { "_id": -1 }).await?;
        Ok((depth, oldest, published.map(|event| event.position)))
    }
}

#[async_trait]
impl OutboxStatusSource for MongoOutboxStatus {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await.unwrap_or(Err(MongoError::TimedOut));
        let (depth, oldest, published_to) = asked.map_err(|error| OutboxError(Box::new(error)))?;
        let oldest = oldest.map(|event| Unpublished::read(event.position, &event.body)).transpose()?;
        Ok(OutboxStatus { depth, oldest, published_to })
    }
}
