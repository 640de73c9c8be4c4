//! Other services.

pub mod users;
