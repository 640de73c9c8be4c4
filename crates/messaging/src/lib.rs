//! The event bus: port, SQLite broker, outbox relay, inbox, retry and dead letters.
