//! The event log of a MongoDB database, and what of it waits to be published.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use futures::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::bulk::Bulk;
use super::database::MongoDatabase;
use super::error::MongoError;
use super::lease::Lease;
use super::published::Published;
use super::watch::Watch;
use super::{CollectionPlan, index, lease, positions, unique_index};
use crate::outbox::{OutboxError, OutboxSource};

pub(super) const EVENTS: &str = "events";
pub(super) const OUTBOX: &str = "outbox";
/// How often the relay that may publish looks by itself for events that other processes appended, should it not hear of them.
const POLL: Duration = Duration::from_millis(200);
/// How often the others look whether they may.
const STANDBY_POLL: Duration = Duration::from_millis(500);

pub(super) fn plan() -> Vec<CollectionPlan> {
    vec![
        CollectionPlan::new(
            EVENTS,
            [
                unique_index("events_by_id", doc! { "event_id": 1 }, None),
                index("events_by_subject", doc! { "subject": 1, "_id": 1 }),
            ],
        ),
        CollectionPlan::new(OUTBOX, []),
        positions::plan(),
        lease::plan(),
    ]
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(rename = "_id")]
    pub(super) position: i64,
    event_id: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    aggregate_version: i64,
    /// The event as it is published, JSON.
    pub(super) body: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    #[serde(rename = "_id")]
    pub(super) position: i64,
    /// The event as it is published, JSON, as in the log: what waits is read at once. Absent in documents of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Who appended it; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<ObjectId>,
}

/// Appends events at these positions to the log and the outbox.
pub(super) fn append_at(
    database: &MongoDatabase,
    bulk: &mut Bulk,
    first: i64,
    events: &[Event],
) -> Result<(), MongoError> {
    for (position, event) in (first..).zip(events) {
        let body = serde_json::to_string(event).map_err(|error| MongoError::Document(error.to_string()))?;
        let waiting = Waiting { position, body: Some(body.clone()), by: Some(database.process()) };
        bulk.insert(&database.collection(OUTBOX), &waiting)?;
        let stored = StoredEvent {
            position,
            event_id: event.id.to_string(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            aggregate_version: event.aggregateversion as i64,
            body,
        };
        bulk.insert(&database.collection(EVENTS), &stored)?;
    }
    Ok(())
}

/// What of a database's event log waits to be published; clones are one relay.
///
/// Several processes may run a relay on one database: one at a time publishes, the others stand by. Should one that was
/// taken for dead come back in the middle of a batch, events are published twice, and still none before an earlier one of
/// its aggregate was.
#[derive(Clone)]
pub struct MongoOutbox {
    database: MongoDatabase,
    lease: Arc<Lease>,
    watch: Arc<Watch>,
    published: Arc<Published>,
}

impl MongoOutbox {
    /// The outbox of a database.
    pub fn new(database: MongoDatabase) -> Self {
        Self {
            lease: Arc::new(Lease::new(database.clone())),
            watch: Arc::default(),
            published: Arc::default(),
            database,
        }
    }

    fn waiting(&self) -> Collection<Waiting> {
        self.database.collection(OUTBOX)
    }

    async fn read_pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, MongoError> {
        if !self.lease.hold().await? {
            return Ok(Vec::new());
        }
        let waiting = self.waiting_of_one_moment(i64::try_from(limit).unwrap_or(i64::MAX)).await?;
        let mut pending = Vec::with_capacity(waiting.len());
        for Waiting { position, body, .. } in waiting {
            let body = match body {
                Some(body) => body,
                None => self.logged(position).await?,
            };
            let event = serde_json::from_str(&body)
                .map_err(|error| MongoError::Document(format!("event {position}: {error}")))?;
            pending.push((position, event));
        }
        Ok(pending)
    }

    /// A plain query may miss a position that is committed while it runs and yet show a later one; a snapshot can't.
    async fn waiting_of_one_moment(&self, limit: i64) -> Result<Vec<Waiting>, MongoError> {
        let mut session = self.database.client().start_session().snapshot(true).await?;
        let mut found = self.waiting().find(doc! {}).sort(doc! { "_id": 1 }).limit(limit).session(&mut session).await?;
        Ok(found.stream(&mut session).try_collect().await?)
    }

    async fn logged(&self, position: i64) -> Result<String, MongoError> {
        let event = self.database.collection::<StoredEvent>(EVENTS).find_one(doc! { "_id": position }).await?;
        event.map(|event| event.body).ok_or_else(|| MongoError::Document(format!("event {position} is not in the log")))
    }
}

fn unavailable(error: MongoError) -> OutboxError {
    OutboxError(Box::new(error))
}

#[async_trait]
impl OutboxSource for MongoOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        // Known before the outbox is read: what is taken out meanwhile is not new.
        let published = self.published.still_there();
        let reading = self.read_pending(limit + published.len());
        let mut pending = self.database.within("pending events", reading).await.map_err(unavailable)?;
        pending.retain(|(position, _)| !published.contains(position));
        pending.truncate(limit);
        if pending.is_empty() {
            self.published.settled(&self.database).await;
        }
        Ok(pending)
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        self.published.add(positions, &self.database).await;
        Ok(())
    }

    fn was_all(&self, asked: usize, given: usize) -> bool {
        given < asked
    }

    async fn appended(&self) {
        if self.lease.is_held() {
            let others = async {
                if self.lease.has_standbys() {
                    self.watch.heard(&self.database).await;
                } else {
                    self.watch.close().await;
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.database.appended().notified() => {}
                () = others => {}
                () = tokio::time::sleep(POLL) => {}
            }
        } else {
            tokio::time::sleep(STANDBY_POLL).await;
        }
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        backlog(&self.database).await.map_err(unavailable)
    }
}

/// What waits to be published, for audits: read without making anything ready.
///
/// # Errors
/// [`MongoError`]; [`MongoError::Document`] when an event in the log is none.
pub async fn backlog(database: &MongoDatabase) -> Result<Backlog, MongoError> {
    let read = async {
        let waiting = database.collection::<Waiting>(OUTBOX);
        let count = waiting.count_documents(doc! {}).await?;
        let oldest = waiting.find_one(doc! {}).sort(doc! { "_id": 1 }).await?;
        let Some(oldest) = oldest else { return Ok(Backlog { waiting: count, oldest_at: None }) };
        let event = database.collection::<StoredEvent>(EVENTS).find_one(doc! { "_id": oldest.position }).await?;
        let event: Option<Event> = event
            .map(|event| serde_json::from_str(&event.body))
            .transpose()
            .map_err(|error| MongoError::Document(format!("event {}: {error}", oldest.position)))?;
        Ok(Backlog { waiting: count, oldest_at: event.map(|event| event.time) })
    };
    database.look(read).await
}
