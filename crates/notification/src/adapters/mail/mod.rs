//! Ways to send email.

pub mod file;
