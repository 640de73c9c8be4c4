//! What drives the use cases: calls, and the passing of time.

pub mod grpc;
pub mod reconciler;
