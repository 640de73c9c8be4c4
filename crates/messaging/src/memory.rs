//! A bus and an outbox in memory, for tests alone: [`crate::connect()`] refuses `memory://`, since nothing of it outlives
//! the process.

mod bus;
mod outbox;

pub use bus::MemoryBus;
pub use outbox::MemoryOutbox;
