//! The gRPC stacks over real TCP.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod neighbour;
mod pool;
