//! The orders service from the outside and through its ports.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod checkout;
mod contract;
mod faults;
mod grpc;
mod helpers;
