//! Owns the payment ledger and speaks to payment providers.
//!
//! At most one charge per order and one refund per refund id, however often it is asked, whatever crashes in between.
//!
//! - [`domain`]: the payment with its refunds; pure;
//! - [`application`]: the ports (store, provider) and one use case per file: charge, refund, get, reconcile;
//! - [`adapters`]: the SQLite store and the sandbox provider;
//! - [`api`]: the gRPC server and the timer that reconciles; both only decode, call a use case, encode;
//! - [`bootstrap`]: the composition root; [`settings`]: what can be set.
//!
//! # Invariants
//!
//! 1. The intent is on disk before the provider hears of it: a charge or refund that was asked for is never forgotten.
//! 2. The order's id is the provider's idempotency key of the charge, the refund's id that of the refund: asking again
//!    never takes or gives money again.
//! 3. The outcome, its ledger entry and its event are written in one transaction, by whoever comes first; the ledger has
//!    room for one capture per order and one entry per refund id.
//! 4. What is undecided has a moment at which it is looked at again, in the same row: no restart loses it.
//! 5. Refunds, those not yet done included, never exceed what was captured.

pub mod adapters;
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod domain;
pub mod settings;
