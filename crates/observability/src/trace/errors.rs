//! Errors that are logged are seen on the span they happened in.

use std::fmt;
use std::path::Path;

use opentelemetry::trace::{Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer;

use crate::redact;

/// A layer that notes warnings and errors on the running span, and marks the span as failed for an error.
pub struct ErrorsOnSpans;

impl ErrorsOnSpans {
    /// Whether a line is one that this layer notes.
    pub fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for ErrorsOnSpans {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        Context::map_current(|cx| {
            let span = cx.span();
            if !span.is_recording() {
                return;
            }
            let level = *event.metadata().level();
            let mut fields = Fields::default();
            event.record(&mut fields);
            let message = redact::text(&fields.message).into_owned();
            if level == Level::ERROR {
                span.set_status(Status::error(message.clone()));
            }
            // A warning is no failure: whoever looks for exceptions does not mean it.
            let (name, message_of) =
                if level == Level::ERROR { ("exception", "exception.message") } else { ("log", "log.message") };
            let mut attributes = vec![
                KeyValue::new("log.level", level.as_str()),
                KeyValue::new("log.target", event.metadata().target()),
                KeyValue::new(message_of, message),
            ];
            attributes.extend(place(event.metadata()));
            attributes.append(&mut fields.others);
            span.add_event(name, attributes);
        });
    }
}

/// Where in the code a line is written, after OpenTelemetry's conventions for source code. Of a library it is left out: the
/// path is one of the machine that built this.
fn place(metadata: &Metadata<'static>) -> impl Iterator<Item = KeyValue> + use<> {
    let file = metadata.file().filter(|file| Path::new(file).is_relative());
    let line = file.and(metadata.line());
    let file = file.map(|file| KeyValue::new("code.file.path", file));
    file.into_iter().chain(line.map(|line| KeyValue::new("code.line.number", i64::from(line))))
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<KeyValue>,
}

impl Fields {
    fn keep(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.keep(field, value.to_owned());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.keep(field, value),
            // There is no such number in OTLP.
            Err(_) => self.keep(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }
}
