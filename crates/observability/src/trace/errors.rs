//! Errors that are logged are seen on the span they happened in.

use std::fmt;

use opentelemetry::trace::{Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
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
            let mut attributes = vec![
                KeyValue::new("log.level", level.as_str()),
                KeyValue::new("code.namespace", event.metadata().target()),
                KeyValue::new("exception.message", message),
            ];
            attributes.extend(fields.others.into_iter().map(|(name, value)| KeyValue::new(name, value)));
            span.add_event(if level == Level::ERROR { "exception" } else { "log" }, attributes);
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }
}
