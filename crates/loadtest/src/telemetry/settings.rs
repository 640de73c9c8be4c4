//! What "all telemetry on" and "all telemetry off" mean.

use std::path::Path;

use crate::rounds::Variant;
use crate::souk::Settings;

/// Share of the requests that are traced while telemetry is on.
pub const SAMPLED: f64 = 0.1;

/// A value of a setting.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// Not set.
    Unset,
    /// This text.
    Text(&'static str),
    /// The folder for the log files of the run.
    LogFolder,
    /// Where the receiver of traces is.
    Receiver,
    /// [`SAMPLED`].
    Sampled,
}

/// Setting, its value with telemetry off, its value with telemetry on.
const TABLE: &[(&str, Value, Value)] = &[
    ("SOUK_LOG", Value::Text("off"), Value::Text("info")),
    ("SOUK_LOG_FORMAT", Value::Unset, Value::Text("json")),
    ("SOUK_LOG_DIR", Value::Unset, Value::LogFolder),
    ("SOUK_METRICS", Value::Text("off"), Value::Text("on")),
    ("SOUK_OTLP_ENDPOINT", Value::Unset, Value::Receiver),
    ("SOUK_TRACE_SAMPLE_RATIO", Value::Unset, Value::Sampled),
];

/// The settings of a variant.
pub fn of(variant: Variant, log_folder: &Path, receiver: &str) -> Settings {
    let value = |value: Value| match value {
        Value::Unset => None,
        Value::Text(text) => Some(text.to_owned()),
        Value::LogFolder => Some(log_folder.to_string_lossy().into_owned()),
        Value::Receiver => Some(receiver.to_owned()),
        Value::Sampled => Some(SAMPLED.to_string()),
    };
    let rows = TABLE.iter().filter_map(|(key, off, on)| {
        let chosen = match variant {
            Variant::Off => *off,
            Variant::On => *on,
        };
        Some((*key, value(chosen)?))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_exports_nothing_and_on_everything() {
        let off = of(Variant::Off, Path::new("/logs"), "http://127.0.0.1:1");
        let wanted = [("SOUK_LOG", "off"), ("SOUK_METRICS", "off")];
        assert_eq!(off, wanted.map(|(key, value)| (key, value.to_owned())).into());
        let on = of(Variant::On, Path::new("/logs"), "http://127.0.0.1:1");
        assert_eq!(on.len(), TABLE.len());
        assert_eq!(on["SOUK_TRACE_SAMPLE_RATIO"], "0.1");
        assert_eq!(on["SOUK_OTLP_ENDPOINT"], "http://127.0.0.1:1");
        assert_eq!(on["SOUK_LOG_DIR"], "/logs");
    }
}
