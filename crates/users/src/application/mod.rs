//! Use cases, one a file, and the ports they need.

pub mod audit;
pub mod ban_user;
pub mod effects;
pub mod end_session;
pub mod error;
pub mod events;
pub mod forget_expired;
pub mod issue_session;
pub mod log_in;
pub mod log_out;
pub mod ports;
pub mod queries;
pub mod refresh_session;
pub mod register;
pub mod rotate_keys;
pub mod seed_account;
pub mod set_roles;
pub mod unban_user;
pub mod update_user;

pub use error::UsersError;
