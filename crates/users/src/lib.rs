//! Accounts, tokens, signing keys, roles and bans.
//!
//! - [`domain`]: users, sessions, passwords, keys, login throttling: rules alone;
//! - [`application`]: use cases, one a file, and the [ports](application::ports) they need;
//! - [`adapters`]: SQLite, argon2, refresh tokens, the key ring;
//! - [`api`]: gRPC `souk.users.v1`;
//! - [`bootstrap`]: puts it together; [`settings`]: what an operator decides.
//!
//! Invariants:
//! - an address, whatever its spelling, has one account: a constraint says so, not a look beforehand;
//! - passwords are kept as argon2id hashes, refresh tokens as SHA-256; neither, nor any key, is ever printed;
//! - a refresh token works once; the second use of one ends its session;
//! - roles and bans hold for every access token issued after them, and void every one issued before: the moment of a change
//!   is read inside its transaction, that of a token before the transaction that reads the user;
//! - state and the events that tell of it are written together; every event of a user has a version of its own;
//! - whether an address has an account is told by neither the answer of a log-in nor the time it takes.

pub mod adapters;
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod domain;
pub mod settings;
