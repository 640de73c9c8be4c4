//! Layers for tonic's servers and clients (feature `tonic`).

pub mod client;
mod code;
pub mod server;

pub use self::code::code_name;

use crate::trace::KeyValue;

/// Attributes of a call, after OpenTelemetry's conventions for RPC. `path` is that of the HTTP request.
fn attributes(path: &str) -> Vec<KeyValue> {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", service.to_owned()),
        KeyValue::new("rpc.method", method.to_owned()),
    ]
}

/// The name of a span: `package.Service/Method`.
fn name(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}
