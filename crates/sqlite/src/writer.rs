//! The writing thread: takes what is waiting, writes it in one transaction, answers when it is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::Connection;

use crate::statements::Watched;

/// Most writes that share one transaction: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 256;

/// What became of the transaction, told to every write in it.
pub(crate) type CommitResult = Result<(), Arc<rusqlite::Error>>;

/// Answers the caller once the transaction ended.
pub(crate) type Completion = Box<dyn FnOnce(CommitResult) + Send>;

/// One write: runs inside the transaction, says whether it is to be kept, and returns how to answer its caller.
pub(crate) struct Job {
    /// Whether its statements are to be told.
    is_recorded: bool,
    work: Box<Work>,
}

type Work = dyn FnOnce(&Connection) -> (bool, Completion) + Send;

impl Job {
    pub(crate) fn new(
        is_recorded: bool,
        work: impl FnOnce(&Connection) -> (bool, Completion) + Send + 'static,
    ) -> Self {
        Self { is_recorded, work: Box::new(work) }
    }
}

/// Runs until every sender is gone; then what is on the connection is closed (and the WAL folded into the file). `name` is
/// the database's, for lines.
pub(crate) fn run(name: &str, mut connection: Connection, jobs: Receiver<Job>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Ok(first) = jobs.recv() {
        batch.push(first);
        while batch.len() < MAX_BATCH {
            match jobs.try_recv() {
                Ok(job) => batch.push(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        write_batch(name, &mut connection, &mut batch);
    }
}

fn write_batch(name: &str, connection: &mut Connection, batch: &mut Vec<Job>) {
    let mut completions = Vec::with_capacity(batch.len());
    let connection = Watched::of(connection, batch.iter().any(|job| job.is_recorded));
    let result = run_cached(&connection, "BEGIN IMMEDIATE").and_then(|()| {
        for job in batch.drain(..) {
            completions.push(run_in_savepoint(name, &connection, job)?);
        }
        run_cached(&connection, "COMMIT")
    });
    if result.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(database = name, error = %error, "a failed transaction could not be rolled back");
    }
    let outcome: CommitResult = result.map_err(|error| {
        let writes = completions.len() + batch.len();
        tracing::error!(database = name, error = %error, writes, "a transaction failed");
        Arc::new(error)
    });
    // Jobs that never ran (the transaction failed before them) drop their answer channel: their callers are told so.
    batch.clear();
    for complete in completions {
        complete(outcome.clone());
    }
}

/// Parsed once, not once a transaction.
pub(crate) fn run_cached(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

fn run_in_savepoint(name: &str, connection: &Connection, job: Job) -> rusqlite::Result<Completion> {
    run_cached(connection, "SAVEPOINT job")?;
    // A panic in one write must not take the thread, and with it every later write, down.
    let (keep, completion) = catch_unwind(AssertUnwindSafe(|| (job.work)(connection))).unwrap_or_else(|_| {
        tracing::error!(database = name, "a write panicked; it was undone");
        (false, Box::new(|_: CommitResult| {}) as Completion)
    });
    if !keep {
        run_cached(connection, "ROLLBACK TO job")?;
    }
    run_cached(connection, "RELEASE job")?;
    Ok(completion)
}
