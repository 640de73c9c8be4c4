//! How the outside reaches the use cases: decode, call, encode; no rules here.

pub mod grpc;
