//! Transactions that are run again when another one was in their way.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use contracts::Event;
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{Client, ClientSession};
use tokio::time::Instant;

use super::bulk::Bulk;
use super::database::MongoDatabase;
use super::error::{MongoError, Retryable};
use super::handoff::Appended;
use super::{outbox, positions};

/// The first wait; it doubles with each conflict.
const FIRST_WAIT: Duration = Duration::from_millis(4);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// After this time a conflict is the caller's to bear.
const GIVE_UP_AFTER: Duration = Duration::from_secs(8);

/// A write in one transaction, with all its tries:
///
/// ```ignore
/// let mut writing = database.write();
/// loop {
///     let outcome = change_something(&mut writing).await; // begins with writing.begin()
///     if let Some(done) = writing.settle(outcome).await {
///         return done;
///     }
/// }
/// ```
///
/// Reads inside see one snapshot; a write of a document that somebody else changed since fails, and the whole is run
/// again. So those that must not happen at once have to write one document in common: what they only read does not keep
/// them apart. The first write of a transaction should be that of its aggregate.
pub struct Writing<'a> {
    client: &'a Client,
    database: &'a MongoDatabase,
    session: Option<ClientSession>,
    began: Instant,
    conflicts: u32,
    /// What the present try appends.
    appended: Vec<Appended>,
    /// A transaction was begun and not ended.
    open: bool,
    /// Positions of events have to be above it.
    above: i64,
}

impl<'a> Writing<'a> {
    pub(super) fn new(client: &'a Client, database: &'a MongoDatabase) -> Self {
        Self {
            client,
            database,
            session: None,
            began: Instant::now(),
            conflicts: 0,
            appended: Vec::new(),
            open: false,
            above: 0,
        }
    }

    /// Begins a try: a new transaction, to be named in every operation of it.
    ///
    /// # Errors
    /// When no server is there.
    pub async fn begin(&mut self) -> Result<&mut ClientSession, MongoError> {
        if self.session.is_none() {
            self.session = Some(self.client.start_session().await?);
        }
        let session = self.session.as_mut().expect("put there above");
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .await?;
        self.open = true;
        Ok(session)
    }

    /// The transaction of the present try.
    ///
    /// # Errors
    /// When there is none: [`Writing::begin`] comes first.
    pub fn session(&mut self) -> Result<&mut ClientSession, MongoError> {
        self.session.as_mut().ok_or(MongoError::Unsuitable("no transaction was begun"))
    }

    /// Appends events to the log and the outbox, inside the transaction. It has to have written the documents of their
    /// aggregates before: nobody else has these until the commit, so positions grow in the order of an aggregate's transactions.
    ///
    /// # Errors
    /// What MongoDB said; hand it to [`Writing::settle`].
    pub async fn append(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), MongoError> {
        let events: Vec<Event> = events.into_iter().collect();
        if events.is_empty() {
            return Ok(());
        }
        let first = positions::reserve(self.database, i64::try_from(events.len()).unwrap_or(i64::MAX)).await?;
        let (mut bulk, bodies) = (Bulk::new(), outbox::bodies_of(&events)?);
        outbox::log_at(self.database, &mut bulk, first, &events, &bodies)?;
        for (position, body) in (first..).zip(bodies) {
            outbox::wait_at(self.database, &mut bulk, position, vec![body])?;
        }
        self.appends((first, events));
        self.bulk(bulk).await
    }

    /// Takes positions for [`Writing::announce_at`], before the transaction, and tells the first. Positions of an
    /// aggregate must grow in the order of its transactions. So its document keeps the last one that it used: who finds it
    /// there to be no less than its own ends the try as [`Writing::overtaken`].
    ///
    /// # Errors
    /// What MongoDB said.
    pub async fn take_positions(&self, count: usize) -> Result<i64, MongoError> {
        self.database.positions().take(self.database, i64::try_from(count).unwrap_or(i64::MAX), self.above).await
    }

    /// The aggregate has used this position: the next try takes others, above it. Hand the error to [`Writing::settle`].
    pub fn overtaken(&mut self, position: i64) -> MongoError {
        self.above = position;
        MongoError::Stale
    }

    /// Puts events into the outbox at positions that were taken for them, see [`Writing::take_positions`], as one document: they
    /// are published together. They are not logged: what they tell has to be kept elsewhere, in the same transaction.
    ///
    /// # Errors
    /// [`MongoError::Document`] when an event can't be written down.
    pub fn announce_at(&mut self, bulk: &mut Bulk, first: i64, events: Vec<Event>) -> Result<(), MongoError> {
        if events.is_empty() {
            return Ok(());
        }
        outbox::wait_at(self.database, bulk, first, outbox::bodies_of(&events)?)?;
        self.appends((first, events));
        Ok(())
    }

    fn appends(&mut self, appended: Appended) {
        self.database.handoff().begin(appended.0, &appended.1);
        self.appended.push(appended);
    }

    /// Sends writes in one command. Not the first of the transaction: see [`Bulk`].
    ///
    /// # Errors
    /// What MongoDB said, [`MongoError::Stale`] when an update found no document; hand it to [`Writing::settle`].
    pub async fn bulk(&mut self, bulk: Bulk) -> Result<(), MongoError> {
        let client = self.client;
        bulk.run(client, self.session()?).await
    }

    /// Ends the try: commits what succeeded, undoes what failed. `None`: try again.
    pub async fn settle<T, E>(&mut self, outcome: Result<T, E>) -> Option<Result<T, E>>
    where
        E: From<MongoError> + Retryable,
    {
        let failure = match outcome {
            Ok(value) => match self.commit().await {
                Ok(()) => return Some(Ok(value)),
                Err(error) => E::from(error),
            },
            Err(error) => {
                // Not committed, whatever becomes of it.
                self.undo();
                if let Some(session) = self.session.as_mut().filter(|_| self.open) {
                    self.open = false;
                    // The server undoes by itself what is not committed; this only tells it sooner.
                    let _ = session.abort_transaction().await;
                }
                error
            }
        };
        if !failure.is_transient() || self.began.elapsed() >= GIVE_UP_AFTER {
            return Some(Err(failure));
        }
        self.conflicts += 1;
        tokio::time::sleep(wait_after(self.conflicts)).await;
        None
    }

    async fn commit(&mut self) -> Result<(), MongoError> {
        let Some(session) = self.session.as_mut().filter(|_| self.open) else { return Ok(()) };
        self.open = false;
        loop {
            match session.commit_transaction().await.map_err(MongoError::from) {
                Ok(()) => break,
                // Committing again is harmless, and tells whether it had been done.
                Err(error) if error.is_commit_unknown() && self.began.elapsed() < GIVE_UP_AFTER => {
                    tokio::time::sleep(LONGEST_WAIT).await;
                }
                Err(error) => {
                    self.lose_sight();
                    return Err(error);
                }
            }
        }
        for appended in self.appended.drain(..) {
            self.database.handoff().committed(appended);
        }
        Ok(())
    }

    /// What was appended won't be there.
    fn undo(&mut self) {
        for (first, _) in self.appended.drain(..) {
            self.database.handoff().undone(first);
        }
    }

    /// Nobody knows whether it was committed.
    fn lose_sight(&mut self) {
        for (first, _) in self.appended.drain(..) {
            self.database.handoff().lost(first);
        }
    }
}

impl Drop for Writing<'_> {
    /// The caller gave up, perhaps in the middle of the commit.
    fn drop(&mut self) {
        if self.open {
            self.undo();
        } else {
            self.lose_sight();
        }
    }
}

/// Between half and all of a time that doubles: who was in each other's way should not meet again.
fn wait_after(conflicts: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << conflicts.min(10)).min(LONGEST_WAIT);
    let half = full / 2;
    let spread = u64::try_from(half.as_micros()).unwrap_or(1).max(1);
    half + Duration::from_micros(RandomState::new().hash_one(conflicts) % spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        for conflicts in 1..100 {
            let wait = wait_after(conflicts);
            assert!(wait >= FIRST_WAIT && wait <= LONGEST_WAIT, "{conflicts}: {wait:?}");
        }
        assert!(wait_after(10) >= LONGEST_WAIT / 2);
    }
}
