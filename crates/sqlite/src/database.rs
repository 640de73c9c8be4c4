//! One database file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use observability::db::{Client, PoolState, StoreFault, System};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::migration::{self, Migration, MigrationError};
use crate::statements::{self, Statements};
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
    client: Client,
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
    /// Opens the file, making it and its folder if need be, and brings its schema up to date. Telemetry names it by the name
    /// of the file.
    ///
    /// Blocks while it does, a few milliseconds for an existing file.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(url: &SqliteUrl, durability: Durability, migrations: &[Migration]) -> Result<Self, OpenError> {
        Self::open_as(Client::new(System::Sqlite, name_of(url.path())), url, durability, migrations)
    }

    /// The same; telemetry is `client`'s to tell.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_as(
        client: Client,
        url: &SqliteUrl,
        durability: Durability,
        migrations: &[Migration],
    ) -> Result<Self, OpenError> {
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
        let name = name_of(&path);
        let writer = std::thread::Builder::new()
            .name(format!("db-{name}"))
            .spawn(move || writer::run(&name, connection, queue))
            .map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        let free_readers = Arc::new(Semaphore::new(READERS));
        let inner = Arc::new(Inner {
            path,
            client,
            jobs: Some(jobs),
            writer: Some(writer),
            readers: Mutex::new(readers),
            free_readers: Arc::clone(&free_readers),
        });
        let watched = Arc::downgrade(&inner);
        inner.client.watch_pool(move || {
            // Of the semaphore alone: a strong reference to the rest might be the last, and closing a file takes time.
            (watched.strong_count() > 0).then(|| pool_state(&free_readers))
        });
        Ok(Self { inner })
    }

    /// Runs `work` in a write transaction; kept if it returns `Ok`, undone if it returns `Err` or panics. `operation` is what
    /// telemetry calls it: one of few names, such as `save order`.
    ///
    /// Returns after the transaction is on disk. If the returned future is dropped the write still happens or not as a
    /// whole. Writes of one caller are done in the order they were awaited. `work` runs on the writing thread: it must
    /// not block on anything but the connection, and must not begin or end transactions.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] through `E` when the store failed; nothing was kept then.
    pub async fn write<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + StoreFault + Send + 'static,
    {
        let mut call = self.inner.client.begin(operation);
        let asked = Instant::now();
        let is_recorded = call.is_recorded();
        let (answer, answered) = oneshot::channel();
        let job = Job::new(is_recorded, move |connection| {
            let waited = asked.elapsed();
            let (result, ran) = statements::collect(is_recorded, || work(connection));
            let keep = result.is_ok();
            let completion: Completion = Box::new(move |committed: CommitResult| {
                let result = match (result, committed) {
                    (Ok(_), Err(error)) => Err(E::from(StoreError::Sqlite(error))),
                    (result, _) => result,
                };
                let _ = answer.send((result, waited, ran));
            });
            (keep, completion)
        });
        if let Some(jobs) = &self.inner.jobs {
            let _ = jobs.send(job);
        }
        let result = match answered.await {
            Ok((result, waited, ran)) => {
                self.inner.client.waited(waited);
                call.statements(ran.into_text());
                result
            }
            Err(_) => Err(E::from(StoreError::Dropped)),
        };
        call.end(&result);
        result
    }

    /// Runs `work` on a reading connection, in one read transaction: it sees one state of the file throughout. `operation`
    /// is what telemetry calls it: one of few names, such as `find order`.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] through `E`.
    pub async fn read<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + StoreFault + Send + 'static,
    {
        let mut call = self.inner.client.begin(operation);
        let (result, ran) = match self.read_on_lease(call.is_recorded(), work).await {
            Ok((result, ran)) => (result, ran),
            Err(error) => (Err(E::from(error)), Statements::default()),
        };
        call.statements(ran.into_text());
        call.end(&result);
        result
    }

    async fn read_on_lease<T, E, F>(&self, is_recorded: bool, work: F) -> Result<(Result<T, E>, Statements), StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let asked = Instant::now();
        let free = Arc::clone(&self.inner.free_readers).acquire_owned().await;
        self.inner.client.waited(asked.elapsed());
        let permit = free.map_err(|_| StoreError::Dropped)?;
        let reader = lock(&self.inner.readers).pop().ok_or(StoreError::Dropped)?;
        // The connection goes back, and only then the permit, whatever happens to `work` or to the caller.
        let mut lease = ReaderLease { inner: Arc::clone(&self.inner), reader: Some(reader), _permit: permit };
        let reading = tokio::task::spawn_blocking(move || {
            let connection = lease.reader.as_mut().ok_or(StoreError::Dropped)?;
            let watched = statements::Watched::of(connection, is_recorded);
            let _snapshot = Snapshot::begin(&watched)?;
            Ok(statements::collect(is_recorded, || work(&watched)))
        });
        reading.await.unwrap_or(Err(StoreError::Dropped))
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// [`StoreError`] when it can't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write("ping", |connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}

fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "sqlite".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The readers. The writer is one more connection, which is nobody's to wait for: writes wait for their turn.
fn pool_state(free_readers: &Semaphore) -> PoolState {
    let idle = free_readers.available_permits().min(READERS);
    PoolState { idle: idle as u64, used: (READERS - idle) as u64, max: READERS as u64 }
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

fn connect(path: &Path, flags: OpenFlags, durability: Durability) -> rusqlite::Result<Connection> {
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
