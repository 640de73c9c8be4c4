//! The last look at a span before it leaves the process: no secret goes with it.

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::redact;

/// Masks the values of attributes whose name tells a secret, and what looks like one in all others.
pub(super) fn clean(span: &mut SpanData) {
    span.attributes.iter_mut().for_each(clean_attribute);
    for event in &mut span.events.events {
        event.attributes.iter_mut().for_each(clean_attribute);
    }
    if let opentelemetry::trace::Status::Error { description } = &mut span.status
        && let std::borrow::Cow::Owned(masked) = redact::text(description)
    {
        *description = masked.into();
    }
}

fn clean_attribute(attribute: &mut KeyValue) {
    if redact::is_secret_name(attribute.key.as_str()) {
        attribute.value = redact::MASK.into();
        return;
    }
    match &mut attribute.value {
        Value::String(text) => clean_text(text),
        Value::Array(Array::String(texts)) => texts.iter_mut().for_each(clean_text),
        _ => {}
    }
}

fn clean_text(text: &mut StringValue) {
    if let std::borrow::Cow::Owned(masked) = redact::text(text.as_str()) {
        *text = masked.into();
    }
}
