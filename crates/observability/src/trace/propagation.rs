//! How a trace crosses a border: `traceparent` and `tracestate`, and Jaeger's `uber-trace-id` beside them.
//!
//! Sources: W3C Trace Context §3; Jaeger "Client Libraries: Propagation Format". The crate `opentelemetry-jaeger-propagator`
//! lags behind the OpenTelemetry family that is used here (docs/adr/0020), and the header is small.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::RequestContext;
use crate::context::{REQUEST_ID_HEADER, TRACEPARENT_HEADER};

/// Jaeger's header: `{trace}:{span}:{parent, unused}:{flags}`.
pub const UBER_TRACE_ID_HEADER: &str = "uber-trace-id";

/// The place in a trace that headers name; the standard header wins over Jaeger's.
pub fn extract(headers: &dyn Extractor) -> Option<SpanContext> {
    if let Some(traceparent) = headers.get(TRACEPARENT_HEADER)
        && is_well_formed(traceparent)
    {
        let cx = TraceContextPropagator::new().extract_with_context(&Context::new(), headers);
        let position = cx.span().span_context().clone();
        if position.is_valid() {
            return Some(position);
        }
    }
    parse_uber_trace_id(headers.get(UBER_TRACE_ID_HEADER)?)
}

/// The place in a trace that a `traceparent` names, if it is well formed.
pub fn parse_traceparent(text: &str) -> Option<SpanContext> {
    struct Only<'a>(&'a str);
    impl Extractor for Only<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == TRACEPARENT_HEADER).then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec![TRACEPARENT_HEADER]
        }
    }
    extract(&Only(text))
}

/// Lengths and digits as §3.2.2 wants them; the propagator is more lenient.
fn is_well_formed(traceparent: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.split('-');
    let lengths = [2, 32, 16, 2];
    lengths.into_iter().all(|length| parts.next().is_some_and(|part| part.len() == length && is_hex(part)))
}

/// The value of a `traceparent` header.
pub fn traceparent(position: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", position.trace_id(), position.span_id(), position.trace_flags() & TraceFlags::SAMPLED)
}

fn parse_uber_trace_id(text: &str) -> Option<SpanContext> {
    // A header that went through a URL encoder is what some of Jaeger's clients send.
    let text = if text.contains(':') { text.into() } else { text.replace("%3A", ":").replace("%3a", ":") };
    let mut parts = text.split(':');
    let (trace, span, _parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Leading zeros may be left out.
    let is_hex =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.next().is_some() || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let trace = TraceId::from(u128::from_str_radix(trace, 16).ok()?);
    let span = SpanId::from(u64::from_str_radix(span, 16).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let position = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    position.is_valid().then_some(position)
}

/// Writes the request id and the place in the trace into outgoing headers, in both forms.
pub fn inject(context: &RequestContext, headers: &mut dyn Injector) {
    let position = context.position();
    headers.set(REQUEST_ID_HEADER, context.request_id().to_owned());
    headers.set(TRACEPARENT_HEADER, traceparent(&position));
    let state = position.trace_state().header();
    if !state.is_empty() {
        headers.set("tracestate", state);
    }
    let sampled = u8::from(position.is_sampled());
    headers.set(UBER_TRACE_ID_HEADER, format!("{}:{}:0:{sampled}", position.trace_id(), position.span_id()));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn jaeger(value: &str) -> Option<SpanContext> {
        extract(&HashMap::from([(UBER_TRACE_ID_HEADER.to_owned(), value.to_owned())]))
    }

    #[test]
    fn jaegers_header_is_read_with_and_without_leading_zeros() {
        let full = jaeger(&format!("{TRACE}:{SPAN}:0:1")).unwrap();
        assert_eq!((full.trace_id().to_string().as_str(), full.is_sampled()), (TRACE, true));
        let short = jaeger("abc:f067aa0ba902b7:0:0").unwrap();
        assert_eq!(short.trace_id().to_string(), format!("{:0>32}", "abc"));
        assert_eq!((short.span_id().to_string().as_str(), short.is_sampled()), (SPAN, false));
        assert!(jaeger(&format!("{TRACE}%3A{SPAN}%3A0%3A3")).unwrap().is_sampled());
    }

    #[test]
    fn a_malformed_header_of_jaegers_names_no_trace() {
        for bad in [
            "",
            ":::",
            "a:b:c",
            "0:1:0:1",
            "1:0:0:1",
            "g:1:0:1",
            "+1:1:0:1",
            &format!("{TRACE}0:{SPAN}:0:1"),
            "1:1:0:1:1",
        ] {
            assert_eq!(jaeger(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_either_form() {
        let context = RequestContext::accept(Some("r-1"), Some(&format!("00-{TRACE}-{SPAN}-01")));
        let mut headers = HashMap::<String, String>::new();
        inject(&context, &mut headers);
        assert_eq!(RequestContext::extract(&headers), context);
        headers.remove(TRACEPARENT_HEADER);
        assert_eq!(RequestContext::extract(&headers), context);
    }

    #[test]
    fn a_trace_state_is_passed_on() {
        let headers = HashMap::from([
            (TRACEPARENT_HEADER.to_owned(), format!("00-{TRACE}-{SPAN}-01")),
            ("tracestate".to_owned(), "vendor=opaque".to_owned()),
        ]);
        let mut onwards = HashMap::<String, String>::new();
        inject(&RequestContext::extract(&headers), &mut onwards);
        assert_eq!(onwards["tracestate"], "vendor=opaque");
    }
}
