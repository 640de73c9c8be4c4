//! The embedded store: one SQLite file for accounts, sessions, keys and outgoing events.

mod audit;
mod effects;
mod error;
mod rows;
mod sessions;
mod signing_keys;
mod users;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub use audit::SqliteUserAudit;
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
    /// Opens the file, making it if need be, readable by its owner alone. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        keep_private(url.path());
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

/// Makes the file, if there is none, so that its owner alone may read it: it holds keys. SQLite gives the files beside it the
/// same permissions.
fn keep_private(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map(drop));
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            // Opening the database will say why nothing can be kept here.
            tracing::warn!(path = %path.display(), error = %error, "the database could not be made private");
        }
        Ok(()) | Err(_) => {}
    }
}
