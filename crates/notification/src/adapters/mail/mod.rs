//! Ways to send email.

mod compose;
pub mod file;
#[cfg(feature = "smtp")]
pub mod smtp;
