//! Positions in the event log, handed out without asking the server for each.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use mongodb::Database;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::CollectionPlan;
use super::database::MongoDatabase;
use super::error::MongoError;

const COUNTERS: &str = "counters";
/// The counter of positions.
const POSITION: &str = "event_position";
/// How many this process takes at once.
const BLOCK: i64 = 1024;

pub(super) fn plan() -> CollectionPlan {
    CollectionPlan::new(COUNTERS, [])
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

/// Takes the next `count` positions from the counter, outside of any transaction: inside, all writers of a service would be in
/// each other's way. They are above all that anybody took before. A position whose transaction is undone is never used.
pub(super) async fn reserve(database: &MongoDatabase, count: i64) -> Result<i64, MongoError> {
    let counter = database
        .collection::<Document>(COUNTERS)
        .find_one_and_update(doc! { "_id": POSITION }, doc! { "$inc": { "value": count } })
        .return_document(ReturnDocument::After)
        .await?;
    let last = counter.and_then(|counter| counter.get_i64("value").ok());
    last.map(|last| last - count + 1)
        .ok_or_else(|| MongoError::Document("the counter of event positions is gone".to_owned()))
}

/// The last position that anybody took; 0 for none.
pub(super) async fn taken(database: &Database) -> Result<i64, MongoError> {
    let counter = database.collection::<Document>(COUNTERS).find_one(doc! { "_id": POSITION }).await?;
    Ok(counter.and_then(|counter| counter.get_i64("value").ok()).unwrap_or(0))
}

/// What this process took of the counter and did not use yet.
#[derive(Default)]
pub(super) struct Positions {
    free: Mutex<Range<i64>>,
}

impl Positions {
    /// The first of `count` positions in a row, all of them above `after`.
    pub(super) async fn take(&self, database: &MongoDatabase, count: i64, after: i64) -> Result<i64, MongoError> {
        if let Some(first) = self.take_free(count, after) {
            return Ok(first);
        }
        // Whoever asks beside this takes a block, too; the one that comes last is gone on with. Gaps are harmless.
        let size = count.max(BLOCK);
        let first = reserve(database, size).await?;
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = first + count..first + size;
        Ok(first)
    }

    fn take_free(&self, count: i64, after: i64) -> Option<i64> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let first = free.start;
        if first <= after || free.end - first < count {
            return None;
        }
        free.start += count;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_handed_out_in_order_and_never_below_what_is_asked_for() {
        let positions = Positions { free: Mutex::new(11..15) };
        assert_eq!(positions.take_free(2, 0), Some(11));
        assert_eq!(positions.take_free(1, 13), None, "13 is not above 13");
        assert_eq!(positions.take_free(3, 0), None, "13 and 14 are left");
        assert_eq!(positions.take_free(2, 12), Some(13));
        assert_eq!(positions.take_free(1, 0), None);
    }
}
