//! Accounts, sessions and keys as rules: no I/O, no async, no framework.

pub mod email;
pub mod login_throttle;
pub mod password;
pub mod person;
pub mod refresh_token;
pub mod revocation;
pub mod roles;
pub mod session;
pub mod signing_key;
pub mod user;

pub use email::EmailAddress;
pub use login_throttle::{LoginThrottle, TooManyAttempts};
pub use password::{Password, PasswordHash};
pub use person::{BanReason, PersonName};
pub use refresh_token::{RefreshToken, RefreshTokenHash};
pub use revocation::Revocation;
pub use roles::Roles;
pub use session::{RefreshVerdict, Session};
pub use signing_key::{KeySet, PUBLISHED_BEFORE_USE, SigningKey};
pub use user::User;
