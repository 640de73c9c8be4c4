//! What is published and still has to leave the outbox.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::bson::doc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
    left: Mutex<BTreeSet<i64>>,
    taking_out: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    /// There is nothing to be gathered.
    now: Notify,
}

impl Published {
    fn left(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is published, and may still be in the outbox.
    pub(super) fn still_there(&self) -> BTreeSet<i64> {
        self.left().clone()
    }

    /// Has these taken out, and all that could not be before.
    pub(super) async fn add(self: &Arc<Self>, positions: Vec<i64>, database: &MongoDatabase) {
        self.left().extend(positions);
        let mut taking_out = self.taking_out.lock().await;
        if taking_out.as_ref().is_none_or(JoinHandle::is_finished) {
            *taking_out = Some(tokio::spawn(take_out(Arc::clone(self), database.clone())));
        }
    }

    /// Waits until they are taken out.
    pub(super) async fn settled(self: &Arc<Self>, database: &MongoDatabase) {
        if self.left().is_empty() {
            return;
        }
        self.add(Vec::new(), database).await;
        self.now.notify_one();
        let taking_out = self.taking_out.lock().await.take();
        if let Some(taking_out) = taking_out {
            // It does not panic.
            let _ = taking_out.await;
        }
    }
}

/// Until nothing is left; what comes meanwhile goes along.
async fn take_out(published: Arc<Published>, database: MongoDatabase) {
    loop {
        let _ = tokio::time::timeout(GATHER, published.now.notified()).await;
        let positions: Vec<i64> = published.still_there().into_iter().collect();
        if positions.is_empty() {
            return;
        }
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
        published.left().retain(|position| positions.binary_search(position).is_err());
    }
}
