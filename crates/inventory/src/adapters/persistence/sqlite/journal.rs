//! Transactions that write state together with the events that tell of it.

use std::sync::Arc;

use contracts::event::Event;
use contracts::{IdGenerator, Timestamp};
use messaging::{SqliteOutbox, outbox};
use rusqlite::Connection;
use sqlite::Database;

use super::failure::Failure;
use crate::adapters::persistence::events::EventWriter;

/// The database, its outbox, and where event ids come from.
#[derive(Clone)]
pub(super) struct Journal {
    database: Database,
    outbox: SqliteOutbox,
    ids: Arc<dyn IdGenerator>,
}

impl Journal {
    pub(super) fn new(database: Database, outbox: SqliteOutbox, ids: Arc<dyn IdGenerator>) -> Self {
        Self { database, outbox, ids }
    }

    /// Reads one state of the file.
    pub(super) async fn read<T, F>(&self, operation: &'static str, work: F) -> Result<T, Failure>
    where
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        self.database.read(operation, work).await
    }

    /// Writes state and events, and wakes the relay.
    pub(super) async fn write<T, R, F>(&self, operation: &'static str, at: Timestamp, work: F) -> Result<T, Failure<R>>
    where
        F: FnOnce(&Connection, &EventWriter) -> Result<T, Failure<R>> + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let events = self.event_writer(at);
        self.outbox.write(operation, move |connection| work(connection, &events)).await
    }

    /// Writes what is known to have no events, and lets the relay sleep.
    pub(super) async fn write_quietly<T, R, F>(
        &self,
        operation: &'static str,
        at: Timestamp,
        work: F,
    ) -> Result<T, Failure<R>>
    where
        F: FnOnce(&Connection, &EventWriter) -> Result<T, Failure<R>> + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let events = self.event_writer(at);
        self.database.write(operation, move |connection| work(connection, &events)).await
    }

    /// Taken here and not in the transaction: that runs on the writing thread, which works for no request.
    fn event_writer(&self, at: Timestamp) -> EventWriter {
        EventWriter::new(&self.ids, at)
    }
}

/// Appends an event inside a transaction.
pub(super) fn append(connection: &Connection, event: serde_json::Result<Event>) -> rusqlite::Result<()> {
    outbox::append(connection, &event.map_err(unwritable)?)
}

/// What can't be written as JSON can't be saved.
pub(super) fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
