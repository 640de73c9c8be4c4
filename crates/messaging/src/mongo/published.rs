//! What is published and still has to leave the outbox.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::bson::doc;
use tokio::sync::Notify;

use super::database::MongoDatabase;
use super::error::MongoError;
use super::outbox::{OUTBOX, Waiting};

/// They are taken out this long after the first of them was published, together with all that were meanwhile.
const GATHER: Duration = Duration::from_millis(100);
/// Wait after they could not be.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Positions that the relay has published. They are taken out beside its further work: a majority's word on it takes longer than
/// anything else that a relay does, and the next event would wait for it.
///
/// A process that dies before it has taken them out, leaves them to be published once more, as with any outbox.
#[derive(Default)]
pub(super) struct Published {
    left: Mutex<Left>,
    /// There is nothing to be gathered.
    now: Notify,
    /// Nothing is left.
    done: Notify,
}

#[derive(Default)]
struct Left {
    positions: BTreeSet<i64>,
    /// A task takes them out, until none is left.
    in_work: bool,
}

impl Published {
    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is published, and may still be in the outbox.
    pub(super) fn still_there(&self) -> BTreeSet<i64> {
        self.left().positions.clone()
    }

    /// Has these taken out.
    pub(super) fn add(self: &Arc<Self>, positions: Vec<i64>, database: &MongoDatabase) {
        let mut left = self.left();
        left.positions.extend(positions);
        if !std::mem::replace(&mut left.in_work, true) {
            tokio::spawn(take_out(Arc::clone(self), database.clone()));
        }
    }

    /// Waits until they are taken out.
    pub(super) async fn settled(&self) {
        let mut done = pin!(self.done.notified());
        // Registered before looking: what is done in between is not slept through.
        done.as_mut().enable();
        if self.left().in_work {
            self.now.notify_one();
            done.await;
        }
    }

    /// What is left; if that is nothing, whoever adds something next has to begin again.
    fn next(&self) -> Option<Vec<i64>> {
        let mut left = self.left();
        left.in_work = !left.positions.is_empty();
        left.in_work.then(|| left.positions.iter().copied().collect())
    }
}

/// Until nothing is left; what comes meanwhile goes along.
async fn take_out(published: Arc<Published>, database: MongoDatabase) {
    loop {
        let _ = tokio::time::timeout(GATHER, published.now.notified()).await;
        let Some(positions) = published.next() else {
            published.done.notify_waiters();
            return;
        };
        let delete = async {
            let these = doc! { "_id": { "$in": &positions } };
            database.collection::<Waiting>(OUTBOX).delete_many(these).await?;
            Ok::<_, MongoError>(())
        };
        if let Err(error) = database.within("mark events published", delete).await {
            tracing::warn!(%error, "published events stay in the outbox until the next try");
            tokio::time::sleep(RETRY_WAIT).await;
            continue;
        }
        published.left().positions.retain(|position| positions.binary_search(position).is_err());
    }
}
