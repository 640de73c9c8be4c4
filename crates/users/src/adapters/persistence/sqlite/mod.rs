//! The embedded store: one SQLite file for accounts, sessions, keys and outgoing events.

mod effects;
mod error;
mod rows;
mod sessions;
mod signing_keys;
mod users;

use messaging::SqliteOutbox;
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

const MIGRATIONS: &[Migration] = &[
    Migration { component: "users", version: 1, sql: include_str!("../../../../migrations/sqlite/0001_users.sql") },
    messaging::outbox::SCHEMA,
];

/// Users, sessions and signing keys in a file; clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    outbox: SqliteOutbox,
}

impl SqliteStore {
    /// Opens the file, making it if need be. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        let database = Database::open(url, Durability::Full, MIGRATIONS)?;
        Ok(Self { outbox: SqliteOutbox::new(database.clone()), database })
    }

    /// The events to publish.
    pub fn outbox(&self) -> SqliteOutbox {
        self.outbox.clone()
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// [`StoreError`] when it can't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping().await
    }
}
