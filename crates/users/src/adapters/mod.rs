//! The ports, done with real things: SQLite, argon2, ring, JWT.

pub mod argon2_hasher;
pub mod key_ring;
pub mod persistence;
pub mod ring_refresh_tokens;
