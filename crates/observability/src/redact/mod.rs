//! Keeps secrets and personal data out of what is told about requests: log lines and spans.
//!
//! Three lines of defence, each for what the one before it lets through:
//!
//! - by type: [`Redacted`] and [`Email`] print what may be seen of a value, and nothing else;
//! - by name: the value of a field that [`is_secret_name`] knows, such as `password` or `user.email`, is never written;
//! - by value: [`text`] finds addresses, tokens and card numbers in what is written anyway.

mod card;
mod names;
mod scan;
#[cfg(test)]
mod tests;
mod types;

pub use names::{also_secret, is_secret_name};
pub use scan::text;
pub use types::{Email, Redacted};

/// What stands in the place of a secret.
pub const MASK: &str = "***";
