//! A database that is looked at and never written.

use std::time::Duration;

use contracts::Event;
use contracts::audit::Backlog;
use sqlx_core::pool::{Pool, PoolOptions};
use sqlx_core::query_as::query_as;
use sqlx_postgres::{PgConnectOptions, PgConnection, Postgres};

use super::database::{InvalidPostgresUrl, StoreError};
use super::sql::Transaction;

/// How long to wait for a server that is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that one page may take.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// What the server holds each session to: it refuses every write, whatever is asked of it.
const SESSION: [(&str, &str); 4] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "25s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// A PostgreSQL database for reading alone: no migration runs. Clones share the connection.
#[derive(Clone)]
pub struct ReadOnlyDatabase {
    pool: Pool<Postgres>,
}

impl ReadOnlyDatabase {
    /// The database that `url` names; nothing is asked of it yet. `application` is what its operators see.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str, application: &str) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self::with(parse(url)?.application_name(application)))
    }

    /// The same in a schema beside: `name`, or `<schema>_<name>` where the address itself names a schema
    /// (`options=-c search_path=<schema>`).
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn in_schema(url: &str, application: &str, name: &str) -> Result<Self, InvalidPostgresUrl> {
        let options = parse(url)?.application_name(application);
        let named = options.get_options().unwrap_or_default().split_whitespace();
        let schema = match named.filter_map(|word| word.strip_prefix("search_path=")).next_back() {
            Some(beside) => format!("{}_{name}", beside.split(',').next().unwrap_or_default()),
            None => name.to_owned(),
        };
        Ok(Self::with(options.options([("search_path", &schema)])))
    }

    fn with(options: PgConnectOptions) -> Self {
        let options = options.options(SESSION);
        let pool = PoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options);
        Self { pool }
    }

    /// Begins a transaction that sees one state of the database throughout.
    ///
    /// # Errors
    /// [`StoreError`]; when the server is away, after at most three seconds.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// Ends an operation that the server leaves without an answer.
    ///
    /// # Errors
    /// What the operation returned, or [`StoreError::TimedOut`] through `E`.
    pub async fn within_time<T, E: From<StoreError>>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(OPERATION_TIMEOUT, operation).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::TimedOut.into()),
        }
    }
}

fn parse(url: &str) -> Result<PgConnectOptions, InvalidPostgresUrl> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(InvalidPostgresUrl);
    }
    url.parse().map_err(|_| InvalidPostgresUrl)
}

/// What waits to be published.
///
/// # Errors
/// What the server said; or an event in the log is none.
pub async fn backlog(connection: &mut PgConnection) -> Result<Backlog, StoreError> {
    let (waiting, oldest): (i64, Option<String>) = query_as(
        "SELECT (SELECT count(*) FROM outbox),
             (SELECT body FROM events WHERE position = (SELECT min(position) FROM outbox))",
    )
    .fetch_one(connection)
    .await?;
    let oldest: Option<Event> = oldest
        .map(|body| serde_json::from_str(&body))
        .transpose()
        .map_err(|error| sqlx_core::Error::Decode(Box::new(error)))?;
    Ok(Backlog { waiting: waiting.unsigned_abs(), oldest_at: oldest.map(|event| event.time) })
}
