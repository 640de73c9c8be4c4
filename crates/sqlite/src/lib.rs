//! The embedded store: SQLite with one group-committing writer, pooled readers and migrations.
