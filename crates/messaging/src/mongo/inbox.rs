//! Deduplication of deliveries: the event's id is recorded in the transaction of its effect.

use std::time::Duration;

use contracts::Timestamp;
use mongodb::bson::{DateTime, Document, doc};
use uuid::Uuid;

use super::{Bulk, CollectionPlan, MongoDatabase, MongoError, expiring_index};

const USED: &str = "consumed_events";
/// Twice as long as any service keeps them by its own clock ([`forget`]), and that far longer than any redelivery: retries end
/// after minutes, and operators replay dead letters within weeks.
const KEPT_AT_MOST: Duration = Duration::from_hours(60 * 24);

pub(super) fn plan() -> CollectionPlan {
    CollectionPlan::new(USED, [expiring_index("consumed_events_by_age", "consumed_at", KEPT_AT_MOST, None)])
}

fn key(consumer: &str, event_id: Uuid) -> Document {
    doc! { "consumer": consumer, "event_id": event_id.to_string() }
}

fn record_of(consumer: &str, event_id: Uuid, now: Timestamp) -> Document {
    doc! { "_id": key(consumer, event_id), "consumed_at": DateTime::from_millis(now.unix_ms()) }
}

/// Records with other writes of a transaction that `consumer` has used the event. If it had before, they fail together, with
/// [`MongoError::Duplicate`]; [`was_used`] tells whether that was why.
///
/// # Errors
/// None that are known: BSON can say this.
pub fn record_use_with(
    database: &MongoDatabase,
    consumer: &str,
    event_id: Uuid,
    now: Timestamp,
    bulk: &mut Bulk,
) -> Result<(), MongoError> {
    bulk.insert(&database.collection(USED), &record_of(consumer, event_id, now))
}

/// Records an event that has no effect; `false` if it was recorded before.
///
/// # Errors
/// What MongoDB said.
pub async fn record_use(
    database: &MongoDatabase,
    consumer: &str,
    event_id: Uuid,
    now: Timestamp,
) -> Result<bool, MongoError> {
    let used = database.collection::<Document>(USED);
    match used.insert_one(record_of(consumer, event_id, now)).await.map_err(MongoError::from) {
        Ok(_) => Ok(true),
        Err(MongoError::Duplicate) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `consumer` has used the event.
///
/// # Errors
/// What MongoDB said.
pub async fn was_used(database: &MongoDatabase, consumer: &str, event_id: Uuid) -> Result<bool, MongoError> {
    Ok(database.collection::<Document>(USED).find_one(doc! { "_id": key(consumer, event_id) }).await?.is_some())
}

/// Forgets events used before `before`; call it with a moment far longer ago than any redelivery.
///
/// # Errors
/// What MongoDB said.
pub async fn forget(database: &MongoDatabase, before: Timestamp) -> Result<u64, MongoError> {
    let filter = doc! { "consumed_at": { "$lt": DateTime::from_millis(before.unix_ms()) } };
    Ok(database.collection::<Document>(USED).delete_many(filter).await?.deleted_count)
}
