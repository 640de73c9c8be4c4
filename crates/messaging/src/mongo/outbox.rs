//! The event log of a MongoDB database, and what of it waits to be published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::audit::Backlog;
use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};

use super::bulk::Bulk;
use super::database::MongoDatabase;
use super::error::MongoError;
use super::handoff::{Appended, Handoff, READ_EVERY};
use super::lease::Lease;
use super::published::Published;
use super::watch::Watch;
use super::{CollectionPlan, index, lease, positions, unique_index};
use crate::outbox::{OutboxError, OutboxSource};

const EVENTS: &str = "events";
pub(super) const OUTBOX: &str = "outbox";
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
struct StoredEvent {
    #[serde(rename = "_id")]
    position: i64,
    event_id: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    aggregate_version: i64,
    /// The event as it is published, JSON.
    body: String,
}

/// An event, or several that are published together.
#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Of its first event; the others follow.
    #[serde(rename = "_id")]
    position: i64,
    /// The events as they are published, JSON: what waits is read at once. Absent in documents of earlier builds.
    #[serde(default)]
    bodies: Vec<String>,
    /// The same in documents of an earlier build, of one event; still earlier ones have it in the log alone.
    #[serde(default, skip_serializing)]
    body: Option<String>,
    /// How many events; absent as above, where it is one.
    #[serde(default)]
    count: Option<i64>,
    /// Who appended them; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<ObjectId>,
}

impl Waiting {
    /// Its events, whichever build wrote it.
    async fn into_events(self, database: &Database) -> Result<Vec<Event>, MongoError> {
        let Self { position, mut bodies, body, .. } = self;
        if bodies.is_empty() {
            bodies.push(match body {
                Some(body) => body,
                None => logged(database, position).await?,
            });
        }
        let parse = |(position, body): (i64, &String)| {
            serde_json::from_str(body).map_err(|error| MongoError::Document(format!("event {position}: {error}")))
        };
        (position..).zip(&bodies).map(parse).collect()
    }
}

async fn logged(database: &Database, position: i64) -> Result<String, MongoError> {
    let event = database.collection::<StoredEvent>(EVENTS).find_one(doc! { "_id": position }).await?;
    event.map(|event| event.body).ok_or_else(|| MongoError::Document(format!("event {position} is not in the log")))
}

/// Events as they are published, JSON.
pub(super) fn bodies_of(events: &[Event]) -> Result<Vec<String>, MongoError> {
    let bodies = events.iter().map(serde_json::to_string).collect::<Result<_, _>>();
    bodies.map_err(|error| MongoError::Document(error.to_string()))
}

/// Puts events into the outbox, at positions from `first` on, to be published together.
pub(super) fn wait_at(
    database: &MongoDatabase,
    bulk: &mut Bulk,
    first: i64,
    bodies: Vec<String>,
) -> Result<(), MongoError> {
    let count = i64::try_from(bodies.len()).ok();
    let waiting = Waiting { position: first, bodies, body: None, count, by: Some(database.process()) };
    bulk.insert(&database.collection(OUTBOX), &waiting)
}

/// Puts events at these positions into the log.
pub(super) fn log_at(
    database: &MongoDatabase,
    bulk: &mut Bulk,
    first: i64,
    events: &[Event],
    bodies: &[String],
) -> Result<(), MongoError> {
    for (position, (event, body)) in (first..).zip(events.iter().zip(bodies)) {
        let stored = StoredEvent {
            position,
            event_id: event.id.to_string(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            aggregate_version: event.aggregateversion as i64,
            body: body.clone(),
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
    /// Events were handed out, and nobody said that they are published.
    unconfirmed: Arc<AtomicBool>,
}

impl MongoOutbox {
    /// The outbox of a database.
    pub fn new(database: MongoDatabase) -> Self {
        Self {
            lease: Arc::new(Lease::new(database.clone())),
            watch: Arc::default(),
            published: Arc::default(),
            unconfirmed: Arc::default(),
            database,
        }
    }

    fn handoff(&self) -> &Handoff {
        self.database.handoff()
    }

    fn waiting(&self) -> Collection<Waiting> {
        self.database.collection(OUTBOX)
    }

    /// What waits, by its first positions, each as it was appended.
    async fn read_pending(&self, limit: usize) -> Result<Vec<Appended>, MongoError> {
        if !self.lease.hold().await? {
            self.handoff().stop();
            return Ok(Vec::new());
        }
        // What others append is in the outbox alone, and may come before what this process appended.
        if !self.lease.has_standbys()
            && !self.unconfirmed.swap(false, Ordering::AcqRel)
            && let Some(known) = self.handoff().take(limit)
        {
            return Ok(known);
        }
        self.handoff().read_begins();
        self.read_outbox(limit).await
    }

    async fn read_outbox(&self, limit: usize) -> Result<Vec<Appended>, MongoError> {
        // Known before the outbox is read: what is taken out meanwhile is not new.
        let published = self.published.still_there();
        let asked = limit + published.len();
        let waiting = self.waiting_of_one_moment(i64::try_from(asked).unwrap_or(i64::MAX)).await?;
        self.handoff().was_read(waiting.iter().map(|waiting| waiting.position), waiting.len() < asked);
        let mut pending = Vec::with_capacity(waiting.len());
        for waiting in waiting.into_iter().filter(|waiting| !published.contains(&waiting.position)) {
            pending.push((waiting.position, waiting.into_events(self.database.inner()).await?));
        }
        Ok(pending)
    }

    /// A plain query may miss a position that is committed while it runs and yet show a later one; a snapshot can't.
    async fn waiting_of_one_moment(&self, limit: i64) -> Result<Vec<Waiting>, MongoError> {
        let mut session = self.database.client().start_session().snapshot(true).await?;
        let mut found = self.waiting().find(doc! {}).sort(doc! { "_id": 1 }).limit(limit).session(&mut session).await?;
        Ok(found.stream(&mut session).try_collect().await?)
    }
}

fn unavailable(error: MongoError) -> OutboxError {
    OutboxError(Box::new(error))
}

#[async_trait]
impl OutboxSource for MongoOutbox {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        let reading = self.read_pending(limit);
        let pending = self.database.within("pending events", reading).await.map_err(|error| {
            // It may have been given up in the middle.
            self.handoff().doubt();
            unavailable(error)
        })?;
        let mut events = Vec::new();
        for (first, appended) in pending {
            // What was appended together goes together: it is one document, which is there or not.
            if events.len() >= limit {
                self.handoff().doubt();
                break;
            }
            events.extend((first..).zip(appended));
        }
        self.unconfirmed.store(!events.is_empty(), Ordering::Release);
        Ok(events)
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        self.unconfirmed.store(false, Ordering::Release);
        self.published.add(positions, &self.database);
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
                () = self.handoff().appended() => {}
                () = others => self.handoff().doubt(),
                () = tokio::time::sleep(READ_EVERY) => self.handoff().doubt(),
            }
        } else {
            tokio::time::sleep(STANDBY_POLL).await;
        }
    }

    async fn close(&self) {
        self.published.settled().await;
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        backlog(&self.database).await.map_err(unavailable)
    }
}

/// A count, as whichever number type the server answers with.
fn whole(document: &Document, field: &str) -> Option<u64> {
    let value = document.get(field)?;
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).map(i64::unsigned_abs)
}

/// How many events wait, and the first of them.
pub(super) async fn depth_and_oldest(database: &Database) -> Result<(u64, Option<(i64, Event)>), MongoError> {
    // Of one event each where an earlier build wrote it.
    let count = doc! { "$group": { "_id": null, "events": { "$sum": { "$ifNull": ["$count", 1_i64] } } } };
    let counted = database.collection::<Document>(OUTBOX).aggregate([count]).await?.try_next().await?;
    let depth = counted.and_then(|counted| whole(&counted, "events")).unwrap_or(0);
    let oldest = database.collection::<Waiting>(OUTBOX).find_one(doc! {}).sort(doc! { "_id": 1 }).await?;
    let Some(oldest) = oldest else { return Ok((depth, None)) };
    let position = oldest.position;
    let first = oldest.into_events(database).await?.into_iter().next();
    Ok((depth, first.map(|event| (position, event))))
}

/// What waits to be published, for audits: read without making anything ready.
///
/// # Errors
/// [`MongoError`]; [`MongoError::Document`] when an event that waits is none.
pub async fn backlog(database: &MongoDatabase) -> Result<Backlog, MongoError> {
    let (waiting, oldest) = database.look(depth_and_oldest(database.inner())).await?;
    Ok(Backlog { waiting, oldest_at: oldest.map(|(_, event)| event.time) })
}
