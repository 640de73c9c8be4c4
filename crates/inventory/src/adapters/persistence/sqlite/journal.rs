//! Transactions that write state together with the events that tell of it.

use std::sync::Arc;

use contracts::event::{Event, EventHead};
use contracts::{IdGenerator, Timestamp};
use messaging::{SqliteOutbox, outbox};
use observability::RequestContext;
use rusqlite::Connection;
use serde::Serialize;
use sqlite::Database;

use super::failure::Failure;

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
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, Failure>
    where
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        self.database.read(work).await
    }

    /// Writes state and events, and wakes the relay.
    pub(super) async fn write<T, R, F>(&self, at: Timestamp, work: F) -> Result<T, Failure<R>>
    where
        F: FnOnce(&Connection, &EventWriter) -> Result<T, Failure<R>> + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let events = self.event_writer(at);
        self.outbox.write(move |connection| work(connection, &events)).await
    }

    /// Writes what is known to have no events, and lets the relay sleep.
    pub(super) async fn write_quietly<T, R, F>(&self, at: Timestamp, work: F) -> Result<T, Failure<R>>
    where
        F: FnOnce(&Connection, &EventWriter) -> Result<T, Failure<R>> + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let events = self.event_writer(at);
        self.database.write(move |connection| work(connection, &events)).await
    }

    /// Taken here and not in the transaction: that runs on the writing thread, which works for no request.
    fn event_writer(&self, at: Timestamp) -> EventWriter {
        EventWriter { ids: Arc::clone(&self.ids), at, context: RequestContext::current() }
    }
}

/// Appends events inside a transaction.
pub(super) struct EventWriter {
    ids: Arc<dyn IdGenerator>,
    at: Timestamp,
    context: Option<RequestContext>,
}

impl EventWriter {
    /// The moment that the change is made.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn append<T: Serialize>(
        &self,
        connection: &Connection,
        event_type: &str,
        subject: String,
        aggregate_version: u64,
        data: &T,
    ) -> rusqlite::Result<()> {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "inventory",
            event_type,
            subject,
            time: self.at,
            aggregate_version,
            traceparent: self.context.as_ref().map(RequestContext::traceparent),
            request_id: self.context.as_ref().map(|context| context.request_id().to_owned()),
        };
        let event = Event::new(head, data).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        outbox::append(connection, &event)
    }
}
