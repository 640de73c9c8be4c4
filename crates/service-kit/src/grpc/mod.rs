//! The gRPC stacks of every service: [`server`] for what comes in, [`client`] for what goes out, [`local`] for connections
//! inside one process, [`deadline`] for the time a request has left, [`pool`] for neighbours at several addresses, [`health`] for `grpc.health.v1`.

pub mod client;
mod code;
pub mod deadline;
pub mod health;
pub mod local;
mod measured;
pub mod pool;
pub mod server;
