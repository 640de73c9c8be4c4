//! Settings that every process of Souk has, whichever services run in it.

use std::fmt;
use std::str::FromStr;

use observability::logs::{self, InvalidFilter, LogControl, LogFormat, LogSettings};

use crate::settings::Source;

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
}

impl ProcessSettings {
    /// Reads them; `default_environment` holds when `SOUK_ENV` is not set.
    pub fn load(source: &mut Source, default_environment: Environment) -> Self {
        let environment: Environment = source.or(
            "SOUK_ENV",
            &default_environment.to_string(),
            "development, staging or production: decides the defaults of the logs",
        );
        let (filter, format) = match environment {
            Environment::Development => ("http", "pretty"),
            Environment::Staging => ("debug", "json"),
            Environment::Production => ("info", "json"),
        };
        let log_filter: Filter =
            source.or("SOUK_LOG", filter, "error, warn, info, http, debug, trace, or a list such as info,orders=debug");
        let log_format: Format = source.or("SOUK_LOG_FORMAT", format, "pretty for people, json for machines");
        let metrics: OnOff =
            source.or("SOUK_METRICS", "on", "on, or off: requests are not measured, and /metrics is 404");
        Self { environment, log_filter: log_filter.0, log_format: log_format.0, metrics: metrics.0 }
    }

    /// Installs the log output, and turns the metrics on or off.
    ///
    /// # Errors
    /// [`InvalidFilter`]; not for settings that [`ProcessSettings::load`] accepted.
    pub fn init_logs(&self, service: &'static str) -> Result<LogControl, InvalidFilter> {
        observability::metrics::set_enabled(self.metrics);
        logs::init(&LogSettings { filter: self.log_filter.clone(), format: self.log_format, service })
    }
}
