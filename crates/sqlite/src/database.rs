//! One database file.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::migration::{self, Migration, MigrationError};
use crate::url::SqliteUrl;
use crate::writer::{self, CommitResult, Completion, Job, run_cached};

/// Readers per file. Reads are short and the process has few cores: more would only cost memory.
const READERS: usize = 2;

/// What a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was answered (`synchronous=FULL`).
    Full,
    /// The last moments, never the consistency (`synchronous=NORMAL`); a killed process still loses nothing.
    Normal,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder could not be made.
    #[error("the folder of {path} could not be made")]
    Folder {
        /// The file wanted.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite could not open the file.
    #[error("{path} could not be opened as a database")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {path} could not be brought up to date")]
    Migration {
        /// The file.
        path: PathBuf,
        /// Which step.
        #[source]
        source: MigrationError,
    },
}

/// The store failed: nothing of the write was kept, or the read was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the database failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// The write panicked, or the database is closing.
    #[error("the database dropped the request")]
    Dropped,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

/// A database file, open. Clones share it; the file is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    jobs: Option<Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
    free_readers: Arc<Semaphore>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last connection to close folds the WAL into the file, and only one that may write can: the readers go first.
        lock(&self.readers).clear();
        // The thread ends when its channel does; waiting for it makes a clean close (the last writes, the checkpoint) certain.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the file, making it and its folder if need be, and brings its schema up to date.
    ///
    /// Blocks while it does, a few milliseconds for an existing file.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl, durability: Durability, migrations: &[Migration]) -> Result<Self, OpenError> {
        let path = url.path().to_owned();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        }
        let failed = |source| OpenError::Sqlite { path: path.clone(), source };
        let mut connection = connect(&path, OpenFlags::default(), durability).map_err(failed)?;
        migration::run(&mut connection, migrations)
            .map_err(|source| OpenError::Migration { path: path.clone(), source })?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = (0..READERS)
            .map(|_| connect(&path, read_only, durability))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let (jobs, queue) = channel();
        let name = path.file_stem().map_or_else(|| "sqlite".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let writer = std::thread::Builder::new()
            .name(format!("db-{name}"))
            .spawn(move || writer::run(connection, queue))
            .map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                jobs: Some(jobs),
                writer: Some(writer),
                readers: Mutex::new(readers),
                free_readers: Arc::new(Semaphore::new(READERS)),
            }),
        })
    }

    /// Runs `work` in a write transaction; kept if it returns `Ok`, undone if it returns `Err` or panics.
    ///
    /// Returns after the transaction is on disk. If the returned future is dropped the write still happens or not as a
    /// whole. Writes of one caller are done in the order they were awaited. `work` runs on the writing thread: it must
    /// not block on anything but the connection, and must not begin or end transactions.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] through `E` when the store failed; nothing was kept then.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = work(connection);
            let keep = result.is_ok();
            let completion: Completion = Box::new(move |committed: CommitResult| {
                let result = match (result, committed) {
                    (Ok(_), Err(error)) => Err(E::from(StoreError::Sqlite(error))),
                    (result, _) => result,
                };
                let _ = answer.send(result);
            });
            (keep, completion)
        });
        if let Some(jobs) = &self.inner.jobs {
            let _ = jobs.send(job);
        }
        answered.await.unwrap_or_else(|_| Err(E::from(StoreError::Dropped)))
    }

    /// Runs `work` on a reading connection, in one read transaction: it sees one state of the file throughout.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] through `E`.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit =
            Arc::clone(&self.inner.free_readers).acquire_owned().await.map_err(|_| E::from(StoreError::Dropped))?;
        let reader = lock(&self.inner.readers).pop().ok_or_else(|| E::from(StoreError::Dropped))?;
        // The connection goes back, and only then the permit, whatever happens to `work` or to the caller.
        let lease = ReaderLease { inner: Arc::clone(&self.inner), reader: Some(reader), _permit: permit };
        tokio::task::spawn_blocking(move || {
            let Some(connection) = lease.reader.as_ref() else {
                return Err(E::from(StoreError::Dropped));
            };
            let _snapshot = Snapshot::begin(connection).map_err(|error| E::from(StoreError::from(error)))?;
            work(connection)
        })
        .await
        .unwrap_or_else(|_| Err(E::from(StoreError::Dropped)))
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// [`StoreError`] when it can't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}

/// A read transaction; ends with its scope, also when that panics.
struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        run_cached(connection, "BEGIN DEFERRED")?;
        Ok(Self(connection))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if let Err(error) = run_cached(self.0, "ROLLBACK") {
            tracing::error!(error = %error, "a read transaction could not be ended");
        }
    }
}

struct ReaderLease {
    inner: Arc<Inner>,
    reader: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for ReaderLease {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            lock(&self.inner.readers).push(reader);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &std::path::Path, flags: OpenFlags, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    // Another process (an auditor, a backup) may hold the file for a moment.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(
            None,
            "synchronous",
            match durability {
                Durability::Full => "FULL",
                Durability::Normal => "NORMAL",
            },
        )?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    // Negative: KiB. The operating system's cache holds the rest.
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}
