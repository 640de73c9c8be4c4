//! Who publishes: one process at a time, without comparing anybody's clocks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::database::MongoDatabase;
use super::error::MongoError;
use super::{CollectionPlan, MongoDatabase as Database};

const LEASES: &str = "leases";
const RELAY: &str = "outbox_relay";
/// The holder moves the beat this often.
const BEAT: Duration = Duration::from_secs(1);
/// Who sees a beat stand still for so long takes the lease.
const DEAD_AFTER: Duration = Duration::from_secs(3);

pub(super) fn plan() -> CollectionPlan {
    CollectionPlan::new(LEASES, [])
}

#[derive(Clone, Serialize, Deserialize)]
struct Held {
    #[serde(rename = "_id")]
    name: String,
    owner: ObjectId,
    beat: i64,
    /// Counts the looks of those who stand by.
    #[serde(default)]
    looks: i64,
}

impl Held {
    /// Whether the holder has not moved since.
    fn stands_as(&self, before: &Self) -> bool {
        (self.owner, self.beat) == (before.owner, before.beat)
    }
}

enum View {
    /// Ours; the beat was moved then.
    Mine(Instant),
    /// Somebody else's, standing like this since.
    Theirs(Held, Instant),
    Unknown,
}

/// The lease of one process.
pub(super) struct Lease {
    database: Database,
    me: ObjectId,
    view: Mutex<View>,
    looks: Mutex<Looks>,
}

/// Of those who stand by.
#[derive(Default)]
struct Looks {
    /// How often they had looked.
    count: i64,
    /// When they were last known to, or may have.
    at: Option<Instant>,
}

impl Lease {
    pub(super) fn new(database: MongoDatabase) -> Self {
        Self { database, me: ObjectId::new(), view: Mutex::new(View::Unknown), looks: Mutex::default() }
    }

    /// Whether it was held when last looked at.
    pub(super) fn is_held(&self) -> bool {
        matches!(*self.view(), View::Mine(_))
    }

    /// Whether others stand by, who may append events, too; for as long as it takes to believe that they are gone. Who has just started
    /// is known within a beat.
    pub(super) fn has_standbys(&self) -> bool {
        self.looks().at.is_some_and(|at| at.elapsed() < DEAD_AFTER)
    }

    fn note_looks(&self, count: i64) {
        if self.looks().count != count {
            self.expect_looks(count);
        }
    }

    /// Others looked; or the lease is new, and nobody knows yet who else is there.
    fn expect_looks(&self, count: i64) {
        *self.looks() = Looks { count, at: Some(Instant::now()) };
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process may publish now; takes or renews the lease as need be.
    pub(super) async fn hold(&self) -> Result<bool, MongoError> {
        let (beat_is_due, seen) = match &*self.view() {
            View::Mine(beat_at) if beat_at.elapsed() < BEAT => return Ok(true),
            View::Mine(_) => (true, None),
            View::Theirs(held, since) => (false, Some((held.clone(), *since))),
            View::Unknown => (false, None),
        };
        let leases = self.database.collection::<Held>(LEASES);
        let now = Instant::now();
        if beat_is_due {
            let mine = doc! { "_id": RELAY, "owner": self.me };
            if let Some(held) = leases.find_one_and_update(mine, doc! { "$inc": { "beat": 1_i64 } }).await? {
                self.note_looks(held.looks);
                return Ok(self.see(View::Mine(now)));
            }
        }
        let looked = doc! { "$inc": { "looks": 1_i64 } };
        let Some(held) = leases.find_one_and_update(doc! { "_id": RELAY }, looked).await? else {
            let new = Held { name: RELAY.to_owned(), owner: self.me, beat: 0, looks: 0 };
            return match leases.insert_one(new).await.map_err(MongoError::from) {
                Ok(_) => {
                    self.expect_looks(0);
                    Ok(self.see(View::Mine(now)))
                }
                Err(MongoError::Duplicate) => Ok(self.see(View::Unknown)),
                Err(error) => Err(error),
            };
        };
        let since = seen.filter(|(before, _)| held.stands_as(before)).map_or(now, |(_, since)| since);
        if held.owner != self.me && since.elapsed() < DEAD_AFTER {
            return Ok(self.see(View::Theirs(held, since)));
        }
        let stale = doc! { "_id": RELAY, "owner": held.owner, "beat": held.beat };
        let take = doc! { "$set": { "owner": self.me }, "$inc": { "beat": 1_i64 } };
        let taken = leases.update_one(stale, take).await?.matched_count == 1;
        self.expect_looks(held.looks);
        Ok(self.see(if taken { View::Mine(now) } else { View::Unknown }))
    }

    /// Notes what is known now, and says whether that is the lease.
    fn see(&self, view: View) -> bool {
        let mine = matches!(view, View::Mine(_));
        *self.view() = view;
        mine
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
