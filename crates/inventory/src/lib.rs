//! Inventory: the catalogue, the stock of every product and the reservations of orders.
//!
//! Layers, each knowing only those before it:
//!
//! - [`domain`]: products, stock and the state machine of a reservation; pure;
//! - [`application`]: the ports and one use case per file;
//! - [`adapters`]: the stores; [`api`]: the gRPC server;
//! - [`bootstrap`]: the composition root, the only place that names concrete adapters; [`settings`]: what it is told.
//!
//! Invariants, held by the domain, again by the schema, and by tests over random histories:
//!
//! - never more is reserved than is on hand: available = on hand − reserved is never below zero;
//! - stock adds up: counted (net) + returned = on hand + committed, and reserved = the lines of held and pinned orders;
//! - an order has one reservation, with all its items or none; a pinned one ends only by the saga's verdict;
//! - state, stock, ledger and events of one change are written in one transaction.

pub mod adapters;
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod domain;
pub mod settings;
