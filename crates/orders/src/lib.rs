//! The orders service: the order aggregate, the checkout saga and idempotency.
//!
//! Layers, each knowing only those before it:
//! - [`domain`]: [`domain::Order`] and [`domain::Saga`], pure state machines;
//! - [`application`]: use cases (one a file) and the ports they need;
//! - [`adapters`]: the order store, the clients of inventory and payment;
//! - [`api`]: the gRPC server and the consumer of payment events;
//! - [`bootstrap`]: puts them together; [`metrics`] counts what the use cases did.
//!
//! Invariants: an order, its saga, its event and its idempotency record are written in one transaction; every step the saga
//! takes elsewhere carries the order's id as its idempotency key, so that any replica may repeat it at any time; an order is
//! confirmed only after its stock is pinned and its payment captured.

pub mod adapters;
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod domain;
pub mod metrics;
pub mod settings;
