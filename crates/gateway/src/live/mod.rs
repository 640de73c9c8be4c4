//! From the bus to the open streams: [`consumer`] takes events off the bus, [`hub`] hands them to the streams of their
//! user, [`stream`] is one client's view of its inbox; [`revocations`] are the tokens that no longer count.

pub mod consumer;
pub mod frame;
pub mod hub;
pub mod memory_hub;
mod metrics;
pub mod revocation_loader;
pub mod revocations;
pub mod stream;

pub use hub::RealtimeHub;
pub use memory_hub::MemoryHub;
pub use revocations::Revocations;
