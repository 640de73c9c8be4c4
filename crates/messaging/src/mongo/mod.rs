//! MongoDB as the store of a service: state and outgoing events in one transaction.
//!
//! - [`MongoDatabase`]: connects by itself, looks before first use whether the server has transactions, and makes the
//!   collections and indexes that it was given;
//! - [`Writing`]: transactions (snapshot, majority), run again when another one was in their way;
//! - [`Bulk`]: the writes of a transaction in one command;
//! - [`MongoOutbox`]: the event log and what of it is not published yet; several relays take turns by a lease.
//!
//! Transactions need a replica set (a single node will do) or a sharded cluster, [`Bulk`] needs MongoDB 8.0. Sources:
//! docs/adr/0013-mongodb.md, docs/adr/0030-few-round-trips-to-mongodb.md.

mod bulk;
mod database;
mod error;
mod fault;
mod handoff;
mod indexes;
mod lease;
mod outbox;
mod outbox_status;
mod pool;
mod positions;
mod published;
mod schema;
mod watch;
mod writing;

pub use bulk::Bulk;
pub use database::{InvalidMongoUrl, MongoDatabase};
pub use error::{MongoError, Retryable};
pub use outbox::{MongoOutbox, backlog};
pub use outbox_status::MongoOutboxStatus;
pub use schema::{CollectionPlan, caseless, expiring_index, index, partial_index, unique_index};
pub use writing::Writing;
