//! Log output: pretty lines for people, JSON lines for machines.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::context::RequestContext;

/// The target of access-log lines: its DEBUG is shown as level `http`.
pub const ACCESS_TARGET: &str = "access";

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Coloured on a terminal, for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `http`, `debug`, `trace`, or a filter such as `info,orders=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
    /// The name of the process: the `service` of lines that no service's own crate wrote.
    pub service: &'static str,
}

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
#[error("'{filter}' is no log filter: use error, warn, info, http, debug, trace or a list such as info,orders=debug")]
pub struct InvalidFilter {
    filter: String,
}

/// Changes the level of a running process.
#[derive(Clone)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, tracing_subscriber::Registry>,
    filter: Arc<Mutex<String>>,
}

impl LogControl {
    /// The filter that holds.
    pub fn get(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// [`InvalidFilter`]; the old filter stays.
    pub fn set(&self, filter: &str) -> Result<(), InvalidFilter> {
        let parsed = parse_filter(filter)?;
        self.handle.reload(parsed).map_err(|_| InvalidFilter { filter: filter.to_owned() })?;
        filter.clone_into(&mut self.filter.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogControl")
    }
}

/// The log output of the process, as a layer that filters for itself; lines go to standard error.
///
/// # Errors
/// [`InvalidFilter`].
pub fn build(
    settings: &LogSettings,
) -> Result<(Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>, LogControl), InvalidFilter> {
    let (filter, handle) = reload::Layer::new(parse_filter(&settings.filter)?);
    let ansi = settings.format == LogFormat::Pretty && std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .event_format(Lines { format: settings.format, service: settings.service })
        .with_filter(filter);
    Ok((Box::new(lines), LogControl { handle, filter: Arc::new(Mutex::new(settings.filter.clone())) }))
}

/// Checks a filter without installing it.
///
/// # Errors
/// [`InvalidFilter`].
pub fn check_filter(filter: &str) -> Result<(), InvalidFilter> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = || InvalidFilter { filter: filter.to_owned() };
    let known = ["error", "warn", "info", "http", "debug", "trace", "off"];
    let word = filter.trim();
    if word.is_empty() || (!word.contains(['=', ',']) && !known.contains(&word)) {
        return Err(invalid());
    }
    let directives = word
        .split(',')
        .map(|part| if part.trim() == "http" { "info,access=debug" } else { part.trim() })
        .collect::<Vec<_>>()
        .join(",");
    // Libraries speak at their own level; below INFO only Souk's own lines are wanted unless a library is named.
    let quiet = ["h2", "hyper", "hyper_util", "tower", "tonic", "actix_server", "mio", "reqwest"];
    let base = quiet.iter().map(|name| format!("{name}=warn")).collect::<Vec<_>>().join(",");
    // To it every caller who sends what is no HTTP is an error; an error in Souk's log is something to look into.
    // A broker that is away is an error to its driver at every attempt; the adapter says it once.
    EnvFilter::try_new(format!("{base},actix_http=off,lapin=off,{directives}")).map_err(|_| invalid())
}

struct Lines {
    format: LogFormat,
    service: &'static str,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let level = level_name(*metadata.level(), metadata.target());
        let context = RequestContext::current();
        let service = crate::context::current_service().unwrap_or_else(|| service_of(metadata.target(), self.service));
        match self.format {
            LogFormat::Json => write_json(&mut writer, level, service, context.as_ref(), fields),
            LogFormat::Pretty => write_pretty(&mut writer, level, service, context.as_ref(), &fields),
        }
    }
}

fn level_name(level: Level, target: &str) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG if target == ACCESS_TARGET => "http",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// In one process the crate that wrote a line is the service that it speaks for.
fn service_of(target: &'static str, process: &'static str) -> &'static str {
    match target.split("::").next() {
        Some(name @ ("gateway" | "users" | "orders" | "inventory" | "payment" | "notification")) => name,
        Some(ACCESS_TARGET) => "gateway",
        _ => process,
    }
}

/// The present moment, RFC 3339 UTC with milliseconds.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    )
}

fn write_json(
    writer: &mut Writer<'_>,
    level: &str,
    service: &str,
    context: Option<&RequestContext>,
    fields: Fields,
) -> fmt::Result {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), now().into());
    line.insert("level".to_owned(), level.into());
    line.insert("service".to_owned(), service.into());
    line.insert("message".to_owned(), fields.message.into());
    if let Some(context) = context {
        line.insert("request_id".to_owned(), context.request_id().into());
        line.insert("trace_id".to_owned(), context.trace_id().to_string().into());
        line.insert("span_id".to_owned(), context.span_id().to_string().into());
    }
    for (name, value) in fields.others {
        line.entry(name).or_insert(value);
    }
    writeln!(writer, "{}", Value::Object(line))
}

fn write_pretty(
    writer: &mut Writer<'_>,
    level: &str,
    service: &str,
    context: Option<&RequestContext>,
    fields: &Fields,
) -> fmt::Result {
    let time = now();
    if writer.has_ansi_escapes() {
        let colour = match level {
            "error" => 31,
            "warn" => 33,
            "info" => 32,
            "http" => 36,
            _ => 90,
        };
        write!(
            writer,
            "\x1b[90m{}\x1b[0m \x1b[{colour}m{level:<5}\x1b[0m {service:<12} {}",
            &time[11..23],
            fields.message
        )?;
    } else {
        write!(writer, "{time} {level:<5} {service:<12} {}", fields.message)?;
    }
    for (name, value) in &fields.others {
        match value {
            Value::String(text) if !text.contains([' ', '\n', '"']) => write!(writer, " {name}={text}")?,
            other => write!(writer, " {name}={other}")?,
        }
    }
    if let Some(context) = context {
        write!(writer, " request_id={}", context.request_id())?;
    }
    writeln!(writer)
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), &value) {
            ("message", Value::String(text)) => self.message.clone_from(text),
            ("message", other) => self.message = other.to_string(),
            (name, _) => self.others.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, error_chain(value).into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}").into());
    }
}

/// An error and its causes in one line, outermost first.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn levels_and_lists_are_filters_and_typos_are_not() {
        for good in ["error", "warn", "info", "http", "debug", "trace", "off", "info,orders=debug", "http,h2=debug"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "inof", "orders=loud"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_callers_send_that_is_no_http_is_no_error_of_ours_unless_the_library_is_named() {
        for (filter, heard) in [("info", false), ("trace", false), ("info,actix_http=error", true)] {
            let subscriber = tracing_subscriber::registry().with(parse_filter(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                let enabled = tracing::enabled!(target: "actix_http::h1::dispatcher", Level::ERROR);
                assert_eq!(enabled, heard, "{filter}");
                assert!(tracing::enabled!(target: "gateway", Level::ERROR), "{filter}");
            });
        }
    }

    #[test]
    fn a_line_speaks_for_the_service_that_wrote_it() {
        assert_eq!(service_of("orders::application::saga", "souk"), "orders");
        assert_eq!(service_of("sqlite::writer", "souk"), "souk");
        assert_eq!(level_name(Level::DEBUG, ACCESS_TARGET), "http");
    }
}
