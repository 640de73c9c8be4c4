//! Order aggregate, checkout saga and idempotency.
