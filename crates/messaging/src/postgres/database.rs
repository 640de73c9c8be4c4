//! The pool of one service.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use observability::db::{Client, PoolState, StoreFault, System};
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::pool::{Pool, PoolConnection, PoolOptions};
use sqlx_core::query::query;
use sqlx_postgres::{PgConnectOptions, PgConnection, Postgres};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::migration::{self, Migration, MigrationError};
use super::sql::Transaction;

/// Connections of one process, besides the relay's own. A write holds one for a few milliseconds.
const MAX_CONNECTIONS: u32 = 10;
/// How long a caller waits for a connection, a new one too: an outage is refused soon, and never at once hammered.
/// Shorter than a health check may take, so that the check can say what is wrong.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);
/// A connection that lay idle for longer is asked whether it lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// Unused connections are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// How long the start of a service waits for its schema before it goes on without.
const FIRST_TRY: Duration = Duration::from_secs(3);
/// What is left of a health check to find out why no connection was had.
const DIAGNOSIS: Duration = Duration::from_millis(300);
/// The longest that one operation may take, should the server neither answer nor hang up.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// Waits between attempts to bring the schema up to date grow from the first to the second.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What the server holds each session to. Statements end before callers lose patience, a transaction whose client is
/// stuck lets go of its locks, and a client whose machine is gone is noticed within half a minute.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The text is no address of a PostgreSQL database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected postgres://<user>:<password>@<host>:<port>/<database>")]
pub struct InvalidPostgresUrl;

/// The store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The schema is not up to date yet: the server has been away since the start.
    #[error("the database's schema is not up to date yet")]
    NotReady,
    /// The server did not answer in time; whether a write was kept is not known.
    #[error("PostgreSQL did not answer in time")]
    TimedOut,
    /// What the driver or the server said.
    #[error("PostgreSQL failed")]
    Sql(#[from] sqlx_core::Error),
}

impl StoreError {
    /// Whether the server refused the write because a unique key is taken (SQLSTATE 23505).
    pub fn is_unique_violation(&self) -> bool {
        self.sql_state().is_some_and(|state| state == "23505")
    }

    /// Whether the server refused the write because of any constraint (SQLSTATE class 23).
    pub fn is_constraint_violation(&self) -> bool {
        self.sql_state().is_some_and(|state| state.starts_with("23"))
    }

    /// The column that holds a value of another kind than the adapter expects: the row is corrupt.
    pub fn undecodable_column(&self) -> Option<&str> {
        match self {
            Self::Sql(sqlx_core::Error::ColumnDecode { index, .. }) => Some(index),
            Self::Sql(sqlx_core::Error::Decode(_)) => Some("unknown"),
            _ => None,
        }
    }

    pub(super) fn sql_state(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Sql(sqlx_core::Error::Database(error)) => error.code(),
            _ => None,
        }
    }
}

/// A PostgreSQL database of a service. Clones share the pool.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    pool: Pool<Postgres>,
    options: PgConnectOptions,
    /// The schema to make, if it is not simply the one that the address leads to.
    schema: Option<String>,
    migrations: &'static [Migration],
    is_ready: AtomicBool,
    notify_queued: AtomicBool,
    /// Something was appended here; and what others are told that it was here.
    appended: Notify,
    instance: String,
}

impl Database {
    /// The database that `url` names; nothing is asked of it yet. `application` is what its operators see.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn new(url: &str, application: &str, migrations: &'static [Migration]) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self::with(application, parse(url)?.application_name(application), None, migrations))
    }

    /// The same in a schema of its own, which is made with the tables: `name`, or `<schema>_<name>` where the address itself
    /// names a schema (`options=-c search_path=<schema>`), as where several installations share a database.
    ///
    /// # Errors
    /// [`InvalidPostgresUrl`].
    pub fn in_schema(
        url: &str,
        application: &str,
        name: &str,
        migrations: &'static [Migration],
    ) -> Result<Self, InvalidPostgresUrl> {
        let options = parse(url)?.application_name(application);
        let named = options.get_options().unwrap_or_default().split_whitespace();
        let schema = match named.filter_map(|word| word.strip_prefix("search_path=")).next_back() {
            Some(beside) => format!("{}_{name}", beside.split(',').next().unwrap_or_default()),
            None => name.to_owned(),
        };
        if !schema.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()) {
            return Err(InvalidPostgresUrl);
        }
        Ok(Self::with(application, options.options([("search_path", &schema)]), Some(schema), migrations))
    }

    fn with(
        application: &str,
        options: PgConnectOptions,
        schema: Option<String>,
        migrations: &'static [Migration],
    ) -> Self {
        let client = client_of(application, &options);
        let options = options.options(SESSION);
        let pool = PoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection: &mut PgConnection, about| {
                Box::pin(async move { Ok(about.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options.clone());
        let inner = Arc::new(Inner {
            client,
            pool,
            options,
            schema,
            migrations,
            is_ready: AtomicBool::new(false),
            notify_queued: AtomicBool::new(false),
            appended: Notify::new(),
            instance: format!("{:016x}", RandomState::new().hash_one(())),
        });
        let watched = Arc::downgrade(&inner);
        inner.client.watch_pool(move || Some(pool_state(&watched.upgrade()?.pool)));
        Self { inner }
    }

    /// Brings the schema up to date, once.
    ///
    /// # Errors
    /// [`MigrationError`]; it is right to try again unless [`MigrationError::is_final`] says otherwise.
    pub async fn prepare(&self) -> Result<(), MigrationError> {
        let mut connection = self.inner.pool.acquire().await?;
        if let Some(schema) = &self.inner.schema {
            migration::make_schema(&mut connection, schema).await?;
        }
        migration::run(&mut connection, self.inner.migrations).await?;
        self.inner.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Tries to [`Self::prepare`] at the start of a service, for a few seconds. `false`: the server is away or another replica
    /// is at it, and [`Self::prepare_until`] is to go on with it.
    ///
    /// # Errors
    /// A [`MigrationError`] that is final.
    pub async fn prepare_soon(&self) -> Result<bool, MigrationError> {
        match tokio::time::timeout(FIRST_TRY, self.prepare()).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if error.is_final() => Err(error),
            Ok(Err(error)) => {
                let chain = observability::logs::error_chain(&error);
                tracing::warn!(error = %chain, "the database is away: not ready until it is back");
                Ok(false)
            }
            Err(_) => {
                tracing::warn!("the database does not answer in time: not ready until it does");
                Ok(false)
            }
        }
    }

    /// Tries to [`Self::prepare`] until it succeeds or `stop` is cancelled.
    pub async fn prepare_until(&self, stop: CancellationToken) {
        let (mut wait, most) = RETRY_WAITS;
        while !self.inner.is_ready.load(Ordering::Acquire) && !stop.is_cancelled() {
            match self.prepare().await {
                Ok(()) => tracing::info!("the database's schema is up to date"),
                Err(error) => {
                    let chain = observability::logs::error_chain(&error);
                    tracing::warn!(error = %chain, "the database is not ready; it will be tried again");
                    let _ = tokio::time::timeout(wait, stop.cancelled()).await;
                    wait = (wait * 2).min(most);
                }
            }
        }
    }

    /// A connection. What is done with it belongs into [`Self::within_time`].
    ///
    /// # Errors
    /// [`StoreError`]; when the server is away, after at most a second and a half.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.check_ready()?;
        let asked = Instant::now();
        let connection = self.inner.pool.acquire().await;
        self.inner.client.waited(asked.elapsed());
        Ok(connection?)
    }

    /// Begins a transaction (read committed).
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        // As the pool itself does it, with the wait told apart.
        Ok(Transaction::begin(self.acquire().await?, None).await?)
    }

    /// Runs an operation, and ends it when the server leaves it without an answer. `name` is what telemetry calls it: one of
    /// few, such as `save order`.
    ///
    /// # Errors
    /// What the operation returned, or [`StoreError::TimedOut`] through `E`.
    pub async fn within_time<T, E: From<StoreError> + StoreFault>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limited = async {
            match tokio::time::timeout(OPERATION_TIMEOUT, operation).await {
                Ok(result) => result,
                Err(_) => Err(StoreError::TimedOut.into()),
            }
        };
        self.inner.client.call(name, limited).await
    }

    /// Tells all relays of this outbox that something was appended; to be called after the commit.
    ///
    /// It is not part of the transaction, because the server lets transactions that notify commit one at a time, each with its
    /// wait for the disk. Calls made while one is on its way are covered by it, and one that is lost costs a moment:
    /// relays look by themselves now and then.
    pub fn notify_appended(&self) {
        // The relay of this process need not hear of it from the server.
        self.inner.appended.notify_one();
        if self.inner.notify_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let connection = inner.pool.acquire().await;
            // From here on a new append needs a notification of its own.
            inner.notify_queued.store(false, Ordering::Release);
            let sent = match connection {
                Ok(mut connection) => {
                    connection.execute(query(super::outbox::NOTIFY).bind(&inner.instance)).await.map(drop)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::debug!(error = %error, "the relays could not be notified; they will look by themselves");
            }
        });
    }

    /// Waits until something was appended by way of this since the last call.
    pub(super) async fn appended(&self) {
        self.inner.appended.notified().await;
    }

    /// What notifications of appends carry, if they come from here.
    pub(super) fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// Answers when the schema is up to date and the server answers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self.acquire().await {
            Ok(mut connection) => Ok(connection.ping().await?),
            // The pool goes on trying until its time is up and does not say why: ask once, beside it.
            Err(error @ StoreError::Sql(sqlx_core::Error::PoolTimedOut)) => {
                let asked = tokio::time::timeout(DIAGNOSIS, PgConnection::connect_with(&self.inner.options)).await;
                Err(if let Ok(Err(reason)) = asked { reason.into() } else { error })
            }
            Err(error) => Err(error),
        }
    }

    /// A pool of one connection that is never replaced behind its user's back: what the session holds is known.
    pub(super) fn dedicated(&self) -> Result<Pool<Postgres>, StoreError> {
        self.check_ready()?;
        Ok(PoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.inner.options.clone()))
    }

    fn check_ready(&self) -> Result<(), StoreError> {
        if self.inner.is_ready.load(Ordering::Acquire) { Ok(()) } else { Err(StoreError::NotReady) }
    }
}

/// What telemetry calls the database. The service is what the application's name says after the product's.
fn client_of(application: &str, options: &PgConnectOptions) -> Client {
    let namespace = options.get_database().unwrap_or_else(|| options.get_username());
    Client::new(System::Postgresql, namespace)
        .owned_by(application.strip_prefix("souk-").unwrap_or(application))
        .at(options.get_host(), options.get_port())
}

fn pool_state(pool: &Pool<Postgres>) -> PoolState {
    let (open, idle) = (u64::from(pool.size()), pool.num_idle() as u64);
    PoolState { idle, used: open.saturating_sub(idle), max: u64::from(MAX_CONNECTIONS) }
}

fn parse(url: &str) -> Result<PgConnectOptions, InvalidPostgresUrl> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(InvalidPostgresUrl);
    }
    url.parse().map_err(|_| InvalidPostgresUrl)
}
