//! What services need of PostgreSQL: one pool, migrations, the outbox and the inbox.
//!
//! - [`database`]: the pool of a service, and whether its schema is up to date;
//! - [`migration`]: schema changes under an advisory lock, so that replicas may start at once;
//! - [`outbox`]: events appended in the caller's transaction, published by any number of relays;
//! - [`outbox_status`]: how far it is behind, for operators;
//! - [`inbox`]: an event's id recorded with its effect;
//! - [`read_only`]: a database that is looked at and never written, for audits;
//! - [`sql`]: the driver's words, so that one crate names the driver.
//!
//! Source: docs/adr/0011-postgresql-through-sqlx.md.

pub mod database;
mod fault;
pub mod inbox;
pub mod migration;
pub mod outbox;
pub mod outbox_status;
pub mod read_only;

pub use database::{Database, InvalidPostgresUrl, StoreError};
pub use migration::Migration;
pub use outbox::PostgresOutbox;
pub use outbox_status::PostgresOutboxStatus;
pub use read_only::ReadOnlyDatabase;

/// The driver's words for adapters: queries, rows, transactions and what fails.
pub mod sql {
    pub use sqlx_core::Error;
    pub use sqlx_core::connection::Connection;
    pub use sqlx_core::query::query;
    pub use sqlx_core::query_scalar::query_scalar;
    pub use sqlx_core::raw_sql::raw_sql;
    pub use sqlx_core::row::Row;
    pub use sqlx_core::sql_str::AssertSqlSafe;
    pub use sqlx_postgres::{PgConnectOptions, PgConnection, PgRow};

    /// A transaction of a pooled connection; undone when it is dropped before its commit.
    pub type Transaction = sqlx_core::transaction::Transaction<'static, sqlx_postgres::Postgres>;
}
