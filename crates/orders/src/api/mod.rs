//! How the service is reached: gRPC calls, and events of other services.

pub mod consumers;
pub mod grpc;
