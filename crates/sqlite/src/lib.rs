//! The embedded store: SQLite as a real database for one process.
//!
//! - One writer connection per file, on a thread of its own. Waiting writes share one `BEGIN IMMEDIATE` transaction,
//!   each inside a savepoint, so that many callers pay for one `fsync` (group commit); a write that fails undoes only
//!   itself. A write is answered after its transaction is on disk.
//! - Readers beside it (WAL), pooled, on the blocking threads of the runtime.
//! - `synchronous=FULL` unless [`Durability::Normal`] is asked for: what was answered survives a power cut.
//! - [`ReadOnlyDatabase`] looks at a file that another process may be writing; it never changes it.
//! - Migrations run at start, in order, each in a transaction of its own.
//! - Each operation has a name, by which spans, metrics and the slow-query log tell of it ([`observability::db`]); a span has
//!   its statements, too.
//!
//! Source: docs/adr/0002-sqlite-as-embedded-store-and-broker.md; <https://www.sqlite.org/wal.html>.

pub mod database;
mod fault;
pub mod migration;
pub mod read_only;
mod statements;
pub mod url;
mod writer;

pub use database::{Database, Durability, OpenError, StoreError};
pub use migration::Migration;
pub use read_only::ReadOnlyDatabase;
pub use url::SqliteUrl;
