//! Events of other services.

pub mod payment_events;
