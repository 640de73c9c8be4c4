//! A database file that is looked at and never written, whoever has it open.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::database::{OpenError, StoreError};
use crate::url::SqliteUrl;

/// How long to wait for a writer that has the file to itself for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database file opened for reading alone: no migration runs and nothing of it is changed. Clones share it.
///
/// Another process may have the file open and write to it. The one that does must be on this machine: a file in WAL mode is
/// shared through memory (<https://www.sqlite.org/wal.html>).
#[derive(Clone)]
pub struct ReadOnlyDatabase {
    connection: Arc<Mutex<Connection>>,
}

impl ReadOnlyDatabase {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`], also when there is no such file, or it is no database.
    pub fn open(url: &SqliteUrl) -> Result<Self, OpenError> {
        let path = url.path();
        let connection = connect(path).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` in one read transaction: it sees one state of the file throughout.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] through `E`.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let reading = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // Undone when it is dropped.
            let snapshot = connection.transaction().map_err(|error| E::from(StoreError::from(error)))?;
            work(&snapshot)
        });
        reading.await.unwrap_or_else(|_| Err(E::from(StoreError::Dropped)))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    // The file itself is read only now: what is wrong with it should be told at once.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}
