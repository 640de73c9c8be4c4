//! Settings that every process of Souk has, whichever services run in it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use observability::logs::{self, ACCESS_TARGET, FileSettings, InvalidFilter, LogError, LogFormat, LogSettings};
use observability::trace::{KeyValue, OtlpEndpoint, OtlpProtocol, SampleRatio, TraceSettings};
use observability::{Guard, Settings};
use uuid::Uuid;

use crate::log_files;
use crate::settings::Source;

/// Whose lines those of a module are, where nothing else says it: services that share a process.
const SERVICES: &[(&str, &str)] = &[
    ("gateway", "gateway"),
    ("users", "users"),
    ("orders", "orders"),
    ("inventory", "inventory"),
    ("payment", "payment"),
    ("notification", "notification"),
    (ACCESS_TARGET, "gateway"),
];

/// Where the process runs: decides defaults, never behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine.
    Development,
    /// Like production, watched more closely.
    Staging,
    /// For customers.
    Production,
}

impl FromStr for Environment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "development" => Ok(Self::Development),
            "staging" => Ok(Self::Staging),
            "production" => Ok(Self::Production),
            _ => Err("use development, staging or production".to_owned()),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

#[derive(Clone, Debug)]
struct Filter(String);

impl FromStr for Filter {
    type Err = InvalidFilter;
    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        logs::check_filter(text).map(|()| Self(text.to_owned()))
    }
}

#[derive(Clone, Copy, Debug)]
struct Format(LogFormat);

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self(LogFormat::Pretty)),
            "json" => Ok(Self(LogFormat::Json)),
            _ => Err("use pretty or json".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct OnOff(bool);

impl FromStr for OnOff {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err("use on or off".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Millis(u32);

impl FromStr for Millis {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "use a whole number of milliseconds, 0 for none".to_owned())
    }
}

/// See each field's setting.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// `SOUK_ENV`.
    pub environment: Environment,
    /// `SOUK_LOG`.
    pub log_filter: String,
    /// `SOUK_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `SOUK_METRICS`.
    pub metrics: bool,
    /// `SOUK_LOG_DIR` and the other `SOUK_LOG_*`.
    pub log_files: Option<FileSettings>,
    /// `SOUK_OTLP_ENDPOINT`, spoken to as `SOUK_OTLP_PROTOCOL` says.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// `SOUK_TRACE_SAMPLE_RATIO`.
    pub sample_ratio: SampleRatio,
    /// `SOUK_SLOW_QUERY_MS`; zero is off.
    pub slow_query: Duration,
}

impl ProcessSettings {
    /// Reads them; `default_environment` holds when `SOUK_ENV` is not set.
    pub fn load(source: &mut Source, default_environment: Environment) -> Self {
        let environment: Environment = source.or(
            "SOUK_ENV",
            &default_environment.to_string(),
            "development, staging or production: decides the defaults of the logs",
        );
        let (filter, format, ratio) = match environment {
            Environment::Development => ("http", "pretty", "1"),
            Environment::Staging => ("debug", "json", "1"),
            Environment::Production => ("info", "json", "0.1"),
        };
        let log_filter: Filter =
            source.or("SOUK_LOG", filter, "error, warn, info, http, debug, trace, or a list such as http,orders=debug");
        let log_format: Format = source.or("SOUK_LOG_FORMAT", format, "pretty for people, json for machines");
        let metrics: OnOff =
            source.or("SOUK_METRICS", "on", "on, or off: requests are not measured, and /metrics is 404");
        let log_files = log_files::load(source);
        let endpoint: Option<OtlpEndpoint> = source.optional(
            "SOUK_OTLP_ENDPOINT",
            "where traces are sent (OTLP), such as http://127.0.0.1:4317; not set: nowhere",
        );
        let protocol: Option<OtlpProtocol> =
            source.optional("SOUK_OTLP_PROTOCOL", "grpc or http; not set: http on port 4318, else grpc");
        let sample_ratio = source.or(
            "SOUK_TRACE_SAMPLE_RATIO",
            ratio,
            "the part of new traces that is recorded, 0 to 1; a caller's own decision is kept",
        );
        let slow_query: Millis = source.or(
            "SOUK_SLOW_QUERY_MS",
            "200",
            "from how many milliseconds on an operation on a store is logged as slow; 0: never",
        );
        let otlp_endpoint = endpoint.map(|endpoint| match protocol {
            Some(protocol) => endpoint.speaking(protocol),
            None => endpoint,
        });
        Self {
            environment,
            log_filter: log_filter.0,
            log_format: log_format.0,
            metrics: metrics.0,
            log_files,
            otlp_endpoint,
            sample_ratio,
            slow_query: Duration::from_millis(slow_query.0.into()),
        }
    }

    /// Installs logs and traces of a process of this name, and turns the metrics on or off.
    ///
    /// # Errors
    /// [`LogError`] when the log files can't be had; a filter that [`ProcessSettings::load`] accepted is valid.
    pub fn init_telemetry(&self, service: &'static str) -> Result<Guard, LogError> {
        observability::metrics::set_enabled(self.metrics);
        let attributes = vec![
            KeyValue::new("service.namespace", "souk"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            // Process ids are used again, and are the same in every container.
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
            KeyValue::new("process.pid", i64::from(std::process::id())),
            KeyValue::new("deployment.environment.name", self.environment.to_string()),
        ];
        observability::db::set_slow_threshold(self.slow_query);
        observability::init(&Settings {
            logs: LogSettings {
                filter: self.log_filter.clone(),
                format: self.log_format,
                services: SERVICES,
                files: self.log_files.clone(),
                ..LogSettings::new(service)
            },
            traces: TraceSettings {
                service,
                endpoint: self.otlp_endpoint.clone(),
                ratio: self.sample_ratio,
                attributes,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_time_that_is_none_is_refused_in_words() {
        for (text, good) in [("0", true), ("200", true), ("-5", false), ("1.5", false), ("200ms", false), ("", false)] {
            let given = BTreeMap::from([("SOUK_SLOW_QUERY_MS".to_owned(), text.to_owned())]);
            let mut source = Source::new(None, &given);
            let settings = ProcessSettings::load(&mut source, Environment::Development);
            match source.finish() {
                Ok(_) => assert!(good && settings.slow_query.as_millis().to_string() == text, "{text}"),
                Err(error) => {
                    let told = "use a whole number of milliseconds, 0 for none";
                    assert!(!good && error.to_string().contains(told), "{text}: {error}");
                }
            }
        }
    }
}
