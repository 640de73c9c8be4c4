//! The embedded store. One file; every change and the events it causes in one transaction.

mod acks;
mod audit;
mod chat;
mod contacts;
mod emails;
mod entries;
mod error;
mod notifications;
mod orders;
mod preferences;
mod rows;

use std::sync::Arc;

use contracts::IdGenerator;
use messaging::SqliteOutbox;
use sqlite::{Database, Durability, Migration, OpenError, SqliteUrl, StoreError};

pub use audit::SqliteNotificationAudit;

/// The consumer's name in the table of used events.
pub const CONSUMER: &str = "notification.events";

const MIGRATIONS: &[Migration] = &[
    Migration {
        component: "notification",
        version: 1,
        sql: include_str!("../../../../migrations/sqlite/0001_notification.sql"),
    },
    Migration {
        component: "notification",
        version: 2,
        sql: include_str!("../../../../migrations/sqlite/0002_contacts_may_be_unknown.sql"),
    },
    Migration {
        component: "notification",
        version: 3,
        sql: include_str!("../../../../migrations/sqlite/0003_chat.sql"),
    },
    Migration {
        component: "notification",
        version: 4,
        sql: include_str!("../../../../migrations/sqlite/0004_channels.sql"),
    },
    messaging::outbox::SCHEMA,
    messaging::inbox::SCHEMA,
];

/// Every repository of this service, in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    outbox: SqliteOutbox,
    ids: Arc<dyn IdGenerator>,
}

impl SqliteStore {
    /// Opens the file, making it if need be, and brings its schema up to date. Blocks while it does.
    ///
    /// Fully durable: a message that was acknowledged must not be lost by a power cut.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl, ids: Arc<dyn IdGenerator>) -> Result<Self, OpenError> {
        let database = Database::open(url, Durability::Full, MIGRATIONS)?;
        Ok(Self { outbox: SqliteOutbox::new(database.clone()), database, ids })
    }

    /// The events that wait to be published.
    pub fn outbox(&self) -> SqliteOutbox {
        self.outbox.clone()
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// When it can't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping().await
    }
}
