//! The event log of a MongoDB database, and what of it waits to be published.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::options::{ReadConcern, ReturnDocument};
use mongodb::{ClientSession, Collection};
use serde::{Deserialize, Serialize};

use super::database::MongoDatabase;
use super::error::MongoError;
use super::lease::Lease;
use super::{CollectionPlan, index, lease, unique_index};
use crate::outbox::{OutboxError, OutboxSource};

pub(super) const EVENTS: &str = "events";
pub(super) const OUTBOX: &str = "outbox";
const COUNTERS: &str = "counters";
/// The counter of positions.
const POSITION: &str = "event_position";
/// How often the relay that may publish looks for events that other processes appended.
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
        CollectionPlan::new(COUNTERS, []),
        lease::plan(),
    ]
}

/// Makes the counter, so that no two transactions have to.
pub(super) async fn prepare(database: &MongoDatabase) -> Result<(), MongoError> {
    let start = doc! { "$setOnInsert": { "value": 0_i64 } };
    let counters = database.collection::<Document>(COUNTERS);
    match counters.update_one(doc! { "_id": POSITION }, start).upsert(true).await.map_err(MongoError::from) {
        // Another process made it in the same moment.
        Ok(_) | Err(MongoError::Duplicate) => Ok(()),
        Err(error) => Err(error),
    }
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
}

/// Appends events inside the caller's transaction, which has written their aggregates before.
pub(super) async fn append(
    database: &MongoDatabase,
    session: &mut ClientSession,
    events: &[Event],
) -> Result<(), MongoError> {
    let first = reserve_positions(database, events.len()).await?;
    let mut stored = Vec::with_capacity(events.len());
    for (position, event) in (first..).zip(events) {
        stored.push(StoredEvent {
            position,
            event_id: event.id.to_string(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            aggregate_version: event.aggregateversion as i64,
            body: serde_json::to_string(event).map_err(|error| MongoError::Document(error.to_string()))?,
        });
    }
    let waiting: Vec<_> = stored.iter().map(|event| Waiting { position: event.position }).collect();
    database.collection::<StoredEvent>(EVENTS).insert_many(stored).session(&mut *session).await?;
    database.collection::<Waiting>(OUTBOX).insert_many(waiting).session(session).await?;
    Ok(())
}

/// Takes positions from the counter, outside of the transaction: inside, all writers of a service would be in each other's
/// way. A position whose transaction is undone is never used.
///
/// Positions of one aggregate grow in the order of its transactions nevertheless: each holds the aggregate's document when
/// it takes its positions, and no other one has it until the commit.
async fn reserve_positions(database: &MongoDatabase, count: usize) -> Result<i64, MongoError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let counter = database
        .collection::<Document>(COUNTERS)
        .find_one_and_update(doc! { "_id": POSITION }, doc! { "$inc": { "value": count } })
        .return_document(ReturnDocument::After)
        .await?;
    let last = counter.and_then(|counter| counter.get_i64("value").ok());
    last.map(|last| last - count + 1)
        .ok_or_else(|| MongoError::Document("the counter of event positions is gone".to_owned()))
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
}

impl MongoOutbox {
    /// The outbox of a database.
    pub fn new(database: MongoDatabase) -> Self {
        Self { lease: Arc::new(Lease::new(database.clone())), database }
    }

    fn waiting(&self) -> Collection<Waiting> {
        self.database.collection(OUTBOX)
    }

    async fn read_pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, MongoError> {
        if !self.lease.hold().await? || self.waiting().find_one(doc! {}).await?.is_none() {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let positions = self.positions_of_one_moment(limit).await?;
        let filter = doc! { "_id": { "$in": &positions } };
        let found = self.database.collection::<StoredEvent>(EVENTS).find(filter).sort(doc! { "_id": 1 }).await?;
        let events: Vec<StoredEvent> = found.try_collect().await?;
        let parsed = events.into_iter().map(|event| match serde_json::from_str(&event.body) {
            Ok(body) => Ok((event.position, body)),
            Err(error) => Err(MongoError::Document(format!("event {}: {error}", event.position))),
        });
        parsed.collect()
    }

    /// A plain query may miss a position that is committed while it runs and yet show a later one; a snapshot can't.
    async fn positions_of_one_moment(&self, limit: i64) -> Result<Vec<i64>, MongoError> {
        let mut session = self.database.client().start_session().await?;
        session.start_transaction().read_concern(ReadConcern::snapshot()).await?;
        let mut found = self.waiting().find(doc! {}).sort(doc! { "_id": 1 }).limit(limit).session(&mut session).await?;
        let waiting: Vec<Waiting> = found.stream(&mut session).try_collect().await?;
        session.commit_transaction().await?;
        Ok(waiting.into_iter().map(|waiting| waiting.position).collect())
    }
}

fn unavailable(error: MongoError) -> OutboxError {
    OutboxError(Box::new(error))
}

#[async_trait]
impl OutboxSource for MongoOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        self.database.within("pending events", self.read_pending(limit)).await.map_err(unavailable)
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        let mark = async {
            self.waiting().delete_many(doc! { "_id": { "$in": positions } }).await?;
            Ok::<_, MongoError>(())
        };
        self.database.within("mark events published", mark).await.map_err(unavailable)
    }

    async fn appended(&self) {
        if self.lease.is_held() {
            let _ = tokio::time::timeout(POLL, self.database.appended().notified()).await;
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
