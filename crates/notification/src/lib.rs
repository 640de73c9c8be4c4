//! Per-user inbox, notifications and email: what a user is told, on every device, exactly once. And the chat.
//!
//! Arrows point inwards:
//!
//! - [`domain`]: what an inbox holds, what a notification says, when an order's event may be used, who may be in a room; pure;
//! - [`application`]: one use case per file, and the ports they need;
//! - [`adapters`]: SQLite, `.eml` files, the users service;
//! - [`api`]: gRPC, and the consumer of `notification.events`;
//! - [`bootstrap`]: the composition root, the only place that names concrete adapters.
//!
//! Invariants:
//!
//! 1. An inbox is append-only and its `seq` gapless from 1 for each user: it is the one cursor of every transport.
//! 2. An event, the entries it causes, the notification, the email to be sent and the `inbox.appended` events are kept in
//!    one transaction, or none of them is.
//! 3. An outcome of an order is notified exactly once, however often and in whatever order its events are delivered.
//! 4. `order_updated` entries of one order never go back in version.
//! 5. An email address is never logged, nor what is said in a room.
//! 6. The messages of a room are append-only and their `seq` gapless from 1; only members read and post, and a change and its
//!    `chat.*` event are kept in one transaction.

pub mod adapters;
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod domain;
pub mod settings;
