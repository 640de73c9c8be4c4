//! Which statements ran, for a trace that is recorded. Values are bound to placeholders, and are not seen here.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

/// No longer text is kept of one operation.
const MAX_BYTES: usize = 4096;
/// What transactions themselves consist of; the operation is one.
const BOUNDS: [&str; 5] = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"];

thread_local! {
    /// What ran on this thread since collecting began.
    static RAN: RefCell<Option<Statements>> = const { RefCell::new(None) };
}

/// Different statements, in the order in which they first ran.
#[derive(Default)]
pub(crate) struct Statements(Vec<String>);

impl Statements {
    fn add(&mut self, statement: &str) {
        let kept: usize = self.0.iter().map(String::len).sum();
        let is_new = || !self.0.iter().any(|known| known == statement);
        if kept + statement.len() <= MAX_BYTES && is_new() && !BOUNDS.iter().any(|bound| statement.starts_with(bound)) {
            self.0.push(statement.to_owned());
        }
    }

    /// As one text, without the indentation of its source.
    pub(crate) fn into_text(self) -> String {
        let lines = self.0.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// A connection whose statements are told, if anybody wants to know; it costs time with each of them.
pub(crate) struct Watched<'a> {
    connection: &'a mut Connection,
    is_watched: bool,
}

impl<'a> Watched<'a> {
    pub(crate) fn of(connection: &'a mut Connection, is_wanted: bool) -> Self {
        // Without it a span says less; that is no reason to refuse the work.
        let is_watched = is_wanted && connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(keep)).is_ok();
        Self { connection, is_watched }
    }
}

impl Deref for Watched<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.is_watched {
            let _ = self.connection.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>);
        }
    }
}

fn keep(event: TraceEvent<'_>) {
    // What is told beside, of a trigger, begins with "--".
    if let TraceEvent::Stmt(statement, told) = event
        && !told.starts_with("--")
    {
        RAN.with_borrow_mut(|ran| {
            if let Some(ran) = ran {
                ran.add(&statement.sql());
            }
        });
    }
}

/// Runs `work` and, if wanted, keeps what statements it runs on a [`Watched`] connection.
pub(crate) fn collect<T>(is_wanted: bool, work: impl FnOnce() -> T) -> (T, Statements) {
    if !is_wanted {
        return (work(), Statements::default());
    }
    RAN.set(Some(Statements::default()));
    let done = work();
    (done, RAN.take().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(connection: &Connection, statement: &str) {
        connection.prepare_cached(statement).unwrap().execute([]).unwrap();
    }

    #[test]
    fn each_statement_is_told_once_in_order_and_without_values() {
        let mut connection = Connection::open_in_memory().unwrap();
        let watched = Watched::of(&mut connection, true);
        let ((), ran) = collect(true, || {
            run(&watched, "SAVEPOINT job");
            run(&watched, "CREATE TABLE\n    things (id TEXT)");
            for secret in ["s3cret", "s3cret2"] {
                watched.execute("INSERT INTO things VALUES (?1)", [secret]).unwrap();
            }
            run(&watched, "RELEASE job");
        });
        assert_eq!(ran.into_text(), "CREATE TABLE things (id TEXT); INSERT INTO things VALUES (?1)");
    }

    #[test]
    fn nothing_is_kept_unless_it_is_wanted_and_never_without_bounds() {
        let mut connection = Connection::open_in_memory().unwrap();
        let watched = Watched::of(&mut connection, true);
        let ((), ran) = collect(false, || watched.execute_batch("CREATE TABLE a (id TEXT)").unwrap());
        assert_eq!(ran.into_text(), "");
        let ((), ran) = collect(true, || {
            for n in 0..2000 {
                watched.execute_batch(&format!("CREATE TABLE t{n} (id TEXT)")).unwrap();
            }
        });
        let text = ran.into_text();
        assert!(text.starts_with("CREATE TABLE t0") && text.len() < 2 * MAX_BYTES, "{}", text.len());
        drop(watched);
        let ((), ran) = collect(true, || connection.execute_batch("DROP TABLE a").unwrap());
        assert_eq!(ran.into_text(), "", "the connection is not watched any more");
    }
}
