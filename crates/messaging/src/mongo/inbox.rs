//! Deduplication of deliveries: the event's id is recorded in the transaction of its effect.

use std::time::Duration;

use contracts::Timestamp;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use uuid::Uuid;

use super::{CollectionPlan, MongoDatabase, MongoError, expiring_index};

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

/// Records that `consumer` has used the event; `false` if it had before, and then the caller must not repeat the effect. Of
/// two transactions that record one event at a time, one is run again and is told.
///
/// # Errors
/// What MongoDB said; the transaction is to be undone.
pub async fn record_first_use(
    database: &MongoDatabase,
    session: &mut ClientSession,
    consumer: &str,
    event_id: Uuid,
    now: Timestamp,
) -> Result<bool, MongoError> {
    let used = database.collection::<Document>(USED);
    let id = key(consumer, event_id);
    if used.find_one(doc! { "_id": &id }).session(&mut *session).await?.is_some() {
        return Ok(false);
    }
    let record = doc! { "_id": id, "consumed_at": DateTime::from_millis(now.unix_ms()) };
    used.insert_one(record).session(session).await?;
    Ok(true)
}

/// Forgets events used before `before`; call it with a moment far longer ago than any redelivery.
///
/// # Errors
/// What MongoDB said.
pub async fn forget(database: &MongoDatabase, before: Timestamp) -> Result<u64, MongoError> {
    let filter = doc! { "consumed_at": { "$lt": DateTime::from_millis(before.unix_ms()) } };
    Ok(database.collection::<Document>(USED).delete_many(filter).await?.deleted_count)
}
