//! The event bus: what a service needs in order to tell others what happened, and to hear it, without losing anything.
//!
//! - [`bus`]: the port: publish with confirmation, consume with acknowledgement, retry with growing delay, dead letters;
//! - [`dead_letters`]: the operator's port: messages that were given up, and what may be done with them;
//! - [`sqlite_bus`]: the embedded broker, one file for one process;
//! - `amqp`: RabbitMQ, behind the feature of that name;
//! - [`outbox`]: events are written with the state they tell of, and published after; [`relay`] does so in order;
//! - [`outbox_status`]: the operator's port: how far an outbox is behind;
//! - [`inbox`]: an event's id is recorded with its effect, so that a redelivery has none;
//! - [`consumer`]: the loop that every consumer group runs;
//! - `postgres` (with the feature of that name): pool, migrations, outbox and inbox of services on PostgreSQL;
//! - `mongo` (feature `mongodb`): outbox and inbox of services on MongoDB;
//! - [`queue_audit`]: what waits in the queues, for audits; nothing is taken out;
//! - [`store_fault`]: what errors of stores are called in telemetry;
//! - [`memory`]: a bus and an outbox for tests alone;
//! - [`mod@connect`]: the scheme of `SOUK_BROKER_URL` picks the adapter.
//!
//! Source: docs/adr/0002-sqlite-as-embedded-store-and-broker.md, docs/adr/0004-event-log-and-outbox.md,
//! docs/adr/0010-rabbitmq-as-event-bus.md, docs/adr/0016-queues-of-instances-and-dead-letters.md,
//! docs/adr/0029-live-updates.md.

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod bus;
pub mod connect;
pub mod consumer;
pub mod dead_letters;
pub mod inbox;
mod lanes;
mod mailbox;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongo;
pub mod outbox;
pub mod outbox_status;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod queue_audit;
pub mod relay;
pub mod routing;
pub mod sqlite_bus;
pub mod store_fault;
mod telemetry;
mod turns;

pub use bus::{Audience, BusError, Delivery, EventBus, RetryPolicy, Subscription, Verdict, broker_check};
pub use connect::{Broker, connect, open};
pub use consumer::{ConsumeError, Consumer, EventHandler};
pub use dead_letters::DeadLetters;
pub use outbox::SqliteOutbox;
pub use outbox_status::OutboxStatusSource;
