//! Hears of events that other processes appended.

use std::time::Duration;

use futures::StreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::database::MongoDatabase;
use super::error::MongoError;
use super::outbox::OUTBOX;

/// After a failure the server is asked again only then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long the server waits for a change before it says that there is none.
const AWAIT: Duration = Duration::from_secs(1);

type Changes = ChangeStream<ChangeStreamEvent<Document>>;

/// A change stream on the outbox, opened by whoever publishes while others stand by: a server may wake it for every write to
/// any collection. Without one the relay has to look by itself.
#[derive(Default)]
pub(super) struct Watch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    changes: Option<Changes>,
    retry_at: Option<Instant>,
}

impl Watch {
    /// There is nobody to be heard.
    pub(super) async fn close(&self) {
        self.state.lock().await.changes = None;
    }

    /// Waits until another process may have appended something since the last call. For ever where that can't be heard.
    ///
    /// Dropped before it is done, it misses nothing: the stream goes on where it was.
    pub(super) async fn heard(&self, database: &MongoDatabase) {
        // One relay waits here; the lock keeps the stream between its calls.
        let mut state = self.state.lock().await;
        let State { changes, retry_at } = &mut *state;
        if let Some(changes) = changes.as_mut() {
            match changes.next().await {
                Some(Ok(_)) => return,
                Some(Err(error)) => {
                    let error = MongoError::from(error);
                    tracing::debug!(%error, "the change stream of the outbox ended");
                }
                None => {}
            }
        } else if retry_at.is_none_or(|at| at <= Instant::now()) {
            match open(database).await {
                Ok(opened) => {
                    *changes = Some(opened);
                    // What was appended before it began, it does not tell.
                    return;
                }
                Err(error) => tracing::debug!(%error, "no change stream of the outbox"),
            }
        } else {
            return std::future::pending::<()>().await;
        }
        *changes = None;
        *retry_at = Some(Instant::now() + RETRY_AFTER);
        std::future::pending::<()>().await;
    }
}

async fn open(database: &MongoDatabase) -> Result<Changes, MongoError> {
    let others = doc! { "operationType": "insert", "fullDocument.by": { "$ne": database.process() } };
    let outbox = database.collection::<Document>(OUTBOX);
    // Said, since not every server that speaks MongoDB's protocol has its default.
    Ok(outbox.watch().pipeline([doc! { "$match": others }]).max_await_time(AWAIT).await?)
}
