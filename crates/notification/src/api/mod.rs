//! What comes in: gRPC calls and events. Decode, call a use case, encode; no rules here.

pub mod consumers;
pub mod grpc;
