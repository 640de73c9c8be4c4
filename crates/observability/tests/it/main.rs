//! What leaves the process, as a receiver sees it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod export;
mod receiver;
