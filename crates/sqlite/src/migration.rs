//! Schema changes, applied once each.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// One step of a schema. Steps are numbered from 1 without gaps and never edited once released.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Whose schema: a file may hold several, such as a service's own and the outbox.
    pub component: &'static str,
    /// Position in the component.
    pub version: u32,
    /// The statements.
    pub sql: &'static str,
}

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The file was written by a newer Souk.
    #[error("the schema of {component} is at version {found}, this build knows up to {known}: use the newer build")]
    FromTheFuture {
        /// Whose schema.
        component: String,
        /// Version in the file.
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
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The bookkeeping itself failed.
    #[error("the schema's version could not be read")]
    Unreadable(#[from] rusqlite::Error),
}

/// Applies what is missing, in the order given.
pub(crate) fn run(connection: &mut Connection, migrations: &[Migration]) -> Result<(), MigrationError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    for migration in migrations {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let current = version_of(&transaction, migration.component)?;
        let known =
            migrations.iter().filter(|m| m.component == migration.component).map(|m| m.version).max().unwrap_or(0);
        if current > known {
            return Err(MigrationError::FromTheFuture {
                component: migration.component.to_owned(),
                found: current,
                known,
            });
        }
        if migration.version <= current {
            continue;
        }
        apply(&transaction, migration).and_then(|()| transaction.commit()).map_err(|source| {
            MigrationError::Failed { component: migration.component, version: migration.version, source }
        })?;
    }
    Ok(())
}

fn version_of(transaction: &Transaction<'_>, component: &str) -> rusqlite::Result<u32> {
    let mut statement = transaction.prepare("SELECT version FROM schema_versions WHERE component = ?1")?;
    let mut rows = statement.query([component])?;
    rows.next()?.map_or(Ok(0), |row| row.get(0))
}

fn apply(transaction: &Transaction<'_>, migration: &Migration) -> rusqlite::Result<()> {
    transaction.execute_batch(migration.sql)?;
    transaction.execute(
        "INSERT INTO schema_versions (component, version) VALUES (?1, ?2) ON CONFLICT (component) DO UPDATE SET version = ?2",
        (migration.component, migration.version),
    )?;
    Ok(())
}
