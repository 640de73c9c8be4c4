//! Socket.IO.

pub mod presence;
#[cfg(feature = "redis")]
pub mod url;
