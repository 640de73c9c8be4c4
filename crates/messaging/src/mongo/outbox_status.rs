//! How far an outbox in MongoDB is behind.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use super::database::InvalidMongoUrl;
use super::error::MongoError;
use super::{outbox, positions};
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

    async fn ask(&self) -> Result<OutboxStatus, MongoError> {
        let (depth, oldest) = outbox::depth_and_oldest(&self.database).await?;
        // Positions have gaps: all below the first that waits, or below the next that will be taken, is published.
        let published_to = match &oldest {
            Some((position, _)) => position - 1,
            None => positions::taken(&self.database).await?,
        };
        Ok(OutboxStatus {
            depth,
            oldest: oldest.map(|(position, event)| Unpublished::of(position, &event)),
            published_to: (published_to > 0).then_some(published_to),
        })
    }
}

#[async_trait]
impl OutboxStatusSource for MongoOutboxStatus {
    async fn status(&self) -> Result<OutboxStatus, OutboxError> {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await.unwrap_or(Err(MongoError::TimedOut));
        asked.map_err(|error| OutboxError(Box::new(error)))
    }
}
