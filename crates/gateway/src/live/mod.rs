//! From the bus to the open connections: [`consumer`] takes events off the bus, [`hub`] hands them to those who listen for
//! their user, [`feed`] is one client's view of its inbox, which [`stream`] shows as server-sent events; [`revocations`] are
//! the tokens that no longer count.

pub mod consumer;
pub mod entry;
pub mod feed;
pub mod frame;
pub mod hub;
pub mod memory_hub;
pub mod metrics;
pub mod revocation_loader;
pub mod revocations;
pub mod stream;

pub use hub::RealtimeHub;
pub use memory_hub::MemoryHub;
pub use revocations::Revocations;
