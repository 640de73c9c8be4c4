//! What PostgreSQL's errors are called in telemetry.

use observability::db::{Fault, StoreFault};

use super::database::StoreError;

impl StoreFault for StoreError {
    fn fault(&self) -> Option<Fault<'_>> {
        let state = self.sql_state();
        // The server's own text may quote what was written.
        let why = match &state {
            Some(state) => format!("PostgreSQL refused with SQLSTATE {state}"),
            None => self.to_string(),
        };
        Some(Fault::new(kind(self, state.as_deref()), why).with_status(state))
    }
}

/// By class and code, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind(error: &StoreError, state: Option<&str>) -> &'static str {
    use sqlx_core::Error;
    match (error, state) {
        (StoreError::NotReady, _) => "not_ready",
        // 57014: cancelled by a statement's time limit; 55P03: a lock that was not had.
        (StoreError::TimedOut | StoreError::Sql(Error::PoolTimedOut), _) | (_, Some("57014" | "55P03")) => "timeout",
        (StoreError::Sql(Error::ColumnDecode { .. } | Error::Decode(_)), None) => "corrupt",
        (StoreError::Sql(_), None) => "unavailable",
        (_, Some(state)) => match state.get(..2) {
            Some("23" | "40") => "conflict",
            Some("08" | "53" | "57") => "unavailable",
            _ => "refused",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_server_have_kinds() {
        let kind_of = |state| kind(&StoreError::Sql(sqlx_core::Error::WorkerCrashed), state);
        let kinds = [("23505", "conflict"), ("40001", "conflict"), ("57014", "timeout"), ("57P01", "unavailable")];
        for (state, kind) in kinds {
            assert_eq!(kind_of(Some(state)), kind, "{state}");
        }
        assert_eq!((kind_of(Some("42P01")), kind_of(None)), ("refused", "unavailable"));
    }

    #[test]
    fn what_the_driver_says_has_kinds() {
        let kind_of = |error: StoreError| error.fault().unwrap().kind;
        assert_eq!(kind_of(StoreError::TimedOut), "timeout");
        assert_eq!(kind_of(sqlx_core::Error::PoolTimedOut.into()), "timeout");
        assert_eq!(kind_of(sqlx_core::Error::Decode("no number".into()).into()), "corrupt");
    }
}
