//! What SQLite's errors are called in telemetry.

use observability::db::{Fault, StoreFault};
use rusqlite::ErrorCode;

use crate::database::StoreError;

impl StoreFault for StoreError {
    fn fault(&self) -> Option<Fault<'_>> {
        Some(match self {
            Self::Dropped => Fault::new("unavailable", self.to_string()),
            Self::Sqlite(error) => {
                let code = error.sqlite_error();
                // The text of a code; SQLite's own message may quote what was written.
                let why = code.map_or_else(|| "what was read is no value of its kind".to_owned(), ToString::to_string);
                Fault::new(kind(error), why).with_status(code.map(|code| code.extended_code.to_string()))
            }
        })
    }
}

fn kind(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => "conflict",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "timeout",
        Some(ErrorCode::DiskFull) => "disk_full",
        // Without a code the row is there, and does not say what it should.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => "corrupt",
        Some(_) => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_constraint_is_a_conflict_and_its_values_stay_here() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (id TEXT PRIMARY KEY) STRICT; INSERT INTO t VALUES ('s3cret')")
            .unwrap();
        let error: StoreError = connection.execute("INSERT INTO t VALUES (?1)", ["s3cret"]).unwrap_err().into();
        let fault = error.fault().unwrap();
        assert_eq!((fault.kind, fault.status.as_deref()), ("conflict", Some("1555")));
        assert!(!fault.why.contains("s3cret"), "{}", fault.why);
        let error: StoreError =
            connection.query_row("SELECT id FROM t", [], |row| row.get::<_, i64>(0)).unwrap_err().into();
        assert_eq!(error.fault().unwrap().kind, "corrupt");
    }
}
