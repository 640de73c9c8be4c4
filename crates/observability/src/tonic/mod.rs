//! Layers for tonic's servers and clients (feature `tonic`).

pub mod client;
mod code;
pub mod server;

pub use self::code::code_name;

use tonic::Code;

use crate::trace::KeyValue;

/// The system, as OpenTelemetry's conventions for RPC name it; the name of the span of a call that is not known.
const SYSTEM: &str = "grpc";

/// Attributes of a call, after OpenTelemetry's conventions for RPC. `path` is that of the HTTP request.
fn attributes(path: &str) -> Vec<KeyValue> {
    vec![KeyValue::new("rpc.system.name", SYSTEM), KeyValue::new("rpc.method", name(path))]
}

/// Attributes of a call of what the service does not have; `path` is what the caller made up.
fn unknown_attributes(path: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("rpc.system.name", SYSTEM),
        KeyValue::new("rpc.method", "_OTHER"),
        KeyValue::new("rpc.method_original", name(path)),
    ]
}

/// What came of it, by the name of the code.
fn status(code: Code) -> KeyValue {
    KeyValue::new("rpc.response.status_code", code_name(code))
}

/// The name of a method, and of its span: `package.Service/Method`.
fn name(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
        attributes.into_iter().map(|pair| (pair.key.to_string(), pair.value.to_string())).collect()
    }

    #[test]
    fn a_call_is_described_after_the_conventions_and_one_made_up_has_a_bounded_method() {
        let described = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            pairs(attributes("/shop.v1.Orders/Place")),
            described(&[("rpc.system.name", "grpc"), ("rpc.method", "shop.v1.Orders/Place")])
        );
        assert_eq!(
            pairs(unknown_attributes("/made/up")),
            described(&[("rpc.system.name", "grpc"), ("rpc.method", "_OTHER"), ("rpc.method_original", "made/up")])
        );
        assert_eq!(
            pairs(vec![status(Code::DeadlineExceeded)]),
            described(&[("rpc.response.status_code", "DEADLINE_EXCEEDED")])
        );
    }
}
