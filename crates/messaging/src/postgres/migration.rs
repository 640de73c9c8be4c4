//! Schema changes, applied once each, by whichever replica comes first.

use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::query::query;
use sqlx_core::query_scalar::query_scalar;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::PgConnection;

/// One step of a schema. Steps are numbered from 1 without gaps and never edited once released.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Whose schema: a database may hold several, such as a service's own and the outbox.
    pub component: &'static str,
    /// Position in the component.
    pub version: u32,
    /// The statements.
    pub sql: &'static str,
}

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The schema was written by a newer Souk.
    #[error("the schema of {component} is at version {found}, this build knows up to {known}: use the newer build")]
    FromTheFuture {
        /// Whose schema.
        component: &'static str,
        /// Version in the database.
        found: u32,
        /// Newest version this build has.
        known: u32,
    },
    /// A step failed; nothing of it was kept.
    #[error("migration {component} {version} failed")]
    Failed {
        /// Whose schema.
        component: &'static str,
        /// Which step.
        version: u32,
        /// What PostgreSQL said.
        #[source]
        source: sqlx_core::Error,
    },
    /// The server is away, or the bookkeeping failed.
    #[error("the schema's version could not be read")]
    Unreadable(#[from] sqlx_core::Error),
}

impl MigrationError {
    /// Whether trying again can't help: the build does not fit the schema.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::FromTheFuture { .. })
    }
}

/// Makes a schema that is not there. `name` is a plain identifier.
///
/// The lock is the database's: of replicas that start at once one makes it. One that is there needs no right to make any.
pub(super) async fn make_schema(connection: &mut PgConnection, name: &str) -> Result<(), MigrationError> {
    let mut transaction = connection.begin().await?;
    transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended('souk schemas', 0))").await?;
    let is_there: bool =
        query_scalar("SELECT to_regnamespace($1) IS NOT NULL").bind(name).fetch_one(&mut *transaction).await?;
    if !is_there {
        raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Applies what is missing, in the order given, all in one transaction: a schema is never half of one version.
///
/// The lock is the transaction's and the schema's: replicas that start at once wait for the first, and find nothing to do.
pub(super) async fn run(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), MigrationError> {
    let mut transaction = connection.begin().await?;
    // Waiting for another replica's migration, and making an index on a large table, take as long as they take.
    transaction.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock(hashtextextended('souk schema ' || current_schema(), 0))")
        .await?;
    transaction
        .execute("CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        .await?;
    for migration in migrations {
        let Migration { component, version, sql } = *migration;
        let current: Option<i32> = query_scalar("SELECT version FROM schema_versions WHERE component = $1")
            .bind(component)
            .fetch_optional(&mut *transaction)
            .await?;
        let current = current.unwrap_or(0).unsigned_abs();
        let known = migrations.iter().filter(|m| m.component == component).map(|m| m.version).max().unwrap_or(0);
        if current > known {
            return Err(MigrationError::FromTheFuture { component, found: current, known });
        }
        if version <= current {
            continue;
        }
        let failed = |source| MigrationError::Failed { component, version, source };
        raw_sql(sql).execute(&mut *transaction).await.map_err(failed)?;
        query(
            "INSERT INTO schema_versions VALUES ($1, $2) ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        )
        .bind(component)
        .bind(version as i32)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    }
    transaction.commit().await?;
    Ok(())
}
