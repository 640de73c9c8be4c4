//! What identifies the request that a task works for: its id, its place in a trace, and what it has spent.
//!
//! The context travels inside the OpenTelemetry [`Context`], so that whoever makes a span by other means (the macros of
//! `tracing`, another library) finds the same parent.

use std::fmt;
use std::sync::{Arc, OnceLock};

use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{
    FutureExt as _, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, ContextGuard};
use uuid::Uuid;

use crate::spent::Spent;
use crate::trace::propagation;

/// The name of the header and of the gRPC metadata key that carry the request id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The name of the header and of the gRPC metadata key that carry the trace (W3C Trace Context §3.2).
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// What stays the same while a request is worked for, however many spans there are.
struct Request {
    id: Arc<str>,
    /// Where no span is: ids for log lines and for what is published, in a trace that nobody records.
    unrecorded: OnceLock<SpanContext>,
    spent: Spent,
}

/// The request id and the place in a trace that a task works for; cheap to clone.
#[derive(Clone)]
pub struct RequestContext {
    cx: Context,
    request: Arc<Request>,
}

impl RequestContext {
    /// Takes over what a caller sent, where it is well formed, and makes the rest.
    ///
    /// A request id is 1 to 128 of `A-Z a-z 0-9 . _ -`; anything else is replaced, so that it can't forge log lines.
    pub fn accept(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        Self::of(request_id, traceparent.and_then(propagation::parse_traceparent))
    }

    /// Takes over what a caller sent in headers: [`REQUEST_ID_HEADER`]; the trace from `traceparent` and `tracestate`, or
    /// else from Jaeger's `uber-trace-id`.
    pub fn extract(headers: &dyn Extractor) -> Self {
        Self::of(headers.get(REQUEST_ID_HEADER), propagation::extract(headers))
    }

    /// A new request, for work that nobody asked for: sweepers, resumed work.
    pub fn background() -> Self {
        Self::of(None, None)
    }

    fn of(request_id: Option<&str>, caller: Option<SpanContext>) -> Self {
        let id = request_id.filter(|id| is_request_id(id)).map_or_else(|| new_id().into(), Arc::from);
        let request = Arc::new(Request { id, unrecorded: OnceLock::new(), spent: Spent::default() });
        let mut cx = Context::new().with_value(Arc::clone(&request));
        if let Some(service) = current_service() {
            cx = cx.with_value(Service(service));
        }
        if let Some(caller) = caller {
            cx = cx.with_remote_span_context(caller);
        }
        Self { cx, request }
    }

    /// The same request, worked for in the name of this service: it is the `service` of log lines and the `service.name`
    /// of spans. By default it is that of the running task ([`speaking_for`]).
    #[must_use]
    pub fn in_service(self, service: &'static str) -> Self {
        Self { cx: self.cx.with_value(Service(service)), ..self }
    }

    /// The context of the running task, if it works for a request.
    pub fn current() -> Option<Self> {
        Context::map_current(|cx| {
            let request = Arc::clone(cx.get::<Arc<Request>>()?);
            Some(Self { cx: cx.clone(), request })
        })
    }

    /// Looks at the context of the running task without taking a share of it.
    pub fn with_current<T>(look: impl FnOnce(Glance<'_>) -> T) -> Option<T> {
        Context::map_current(|cx| {
            let request = cx.get::<Arc<Request>>()?;
            Some(look(Glance { cx, request }))
        })
    }

    /// The context of the running task, or a new one.
    pub fn current_or_background() -> Self {
        Self::current().unwrap_or_else(Self::background)
    }

    /// Runs a future inside this context.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        future.with_context(self.cx)
    }

    /// Makes this the context of the running thread until the guard is dropped; for code that awaits nothing.
    #[must_use = "the context is left when the guard is dropped"]
    pub fn enter(&self) -> ContextGuard {
        self.cx.clone().attach()
    }

    /// The request id.
    pub fn request_id(&self) -> &str {
        &self.request.id
    }

    /// The service in whose name the request is worked for, where that was said.
    pub fn service(&self) -> Option<&'static str> {
        service_of(&self.cx)
    }

    /// The trace: shown as 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> TraceId {
        self.glance().trace_id()
    }

    /// This part of the trace: shown as 16 lower-case hexadecimal digits.
    pub fn span_id(&self) -> SpanId {
        self.glance().span_id()
    }

    /// The value of a `traceparent` header that makes the receiver part of this trace.
    pub fn traceparent(&self) -> String {
        propagation::traceparent(&self.position())
    }

    /// The place in the trace.
    pub fn position(&self) -> SpanContext {
        self.glance().position(SpanContext::clone)
    }

    /// What the request has spent waiting for others, in this service.
    pub fn spent(&self) -> &Spent {
        &self.request.spent
    }

    pub(crate) fn otel(&self) -> &Context {
        &self.cx
    }

    /// The same request at another place of its trace.
    pub(crate) fn at(&self, cx: Context) -> Self {
        Self { cx, request: Arc::clone(&self.request) }
    }

    fn glance(&self) -> Glance<'_> {
        Glance { cx: &self.cx, request: &self.request }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("request_id", &self.request_id())
            .field("service", &self.service())
            .field("trace_id", &self.trace_id())
            .field("span_id", &self.span_id())
            .finish()
    }
}

impl PartialEq for RequestContext {
    fn eq(&self, other: &Self) -> bool {
        self.request_id() == other.request_id() && self.position() == other.position()
    }
}

impl Eq for RequestContext {}

/// A look at the context of the running task, for what happens too often to take a share of it.
#[derive(Clone, Copy)]
pub struct Glance<'a> {
    cx: &'a Context,
    request: &'a Request,
}

impl<'a> Glance<'a> {
    /// The request id.
    pub fn request_id(self) -> &'a str {
        &self.request.id
    }

    /// The trace.
    pub fn trace_id(self) -> TraceId {
        self.position(SpanContext::trace_id)
    }

    /// This part of the trace.
    pub fn span_id(self) -> SpanId {
        self.position(SpanContext::span_id)
    }

    /// What the request has spent.
    pub fn spent(self) -> &'a Spent {
        &self.request.spent
    }

    fn position<T>(self, look: impl FnOnce(&SpanContext) -> T) -> T {
        let span = self.cx.span();
        let position = span.span_context();
        if position.is_valid() { look(position) } else { look(self.request.unrecorded.get_or_init(unrecorded)) }
    }
}

/// In whose name something is done.
#[derive(Clone, Copy)]
struct Service(&'static str);

/// Runs a future in the name of a service: several may share a process. Requests that begin inside it inherit the name, and
/// so do log lines.
pub fn speaking_for<F: Future>(service: &'static str, future: F) -> impl Future<Output = F::Output> {
    future.with_context(Context::current().with_value(Service(service)))
}

/// The service in whose name the running task works, where that was said.
pub fn current_service() -> Option<&'static str> {
    Context::map_current(service_of)
}

pub(crate) fn service_of(cx: &Context) -> Option<&'static str> {
    cx.get::<Service>().map(|service| service.0)
}

/// The id of the request that is worked for at this place.
pub(crate) fn request_id_of(cx: &Context) -> Option<&Arc<str>> {
    cx.get::<Arc<Request>>().map(|request| &request.id)
}

fn new_id() -> String {
    // A request id names a moment of traffic, not a thing of the domain: it need not come from a port.
    #[expect(clippy::disallowed_methods, reason = "no test depends on the value of a request id")]
    Uuid::now_v7().to_string()
}

/// A place in a trace of its own that is marked as not sampled: nobody down the line records what has no beginning.
fn unrecorded() -> SpanContext {
    let trace_id = TraceId::from_bytes(Uuid::new_v4().into_bytes());
    let (_, span_id) = Uuid::new_v4().as_u64_pair();
    SpanContext::new(
        trace_id,
        SpanId::from_bytes(span_id.to_be_bytes()),
        TraceFlags::NOT_SAMPLED,
        false,
        TraceState::NONE,
    )
}

fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(RequestContext::accept(Some("a.B-9_x"), None).request_id(), "a.B-9_x");
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(129)] {
            assert_ne!(RequestContext::accept(Some(bad), None).request_id(), bad, "{bad:?}");
        }
    }

    #[test]
    fn a_valid_traceparent_is_continued_and_any_other_is_not() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let context = RequestContext::accept(None, Some(&format!("00-{trace_id}-00f067aa0ba902b7-01")));
        assert_eq!(context.trace_id().to_string(), trace_id);
        let onwards = RequestContext::accept(None, Some(&context.traceparent()));
        assert_eq!(onwards.trace_id().to_string(), trace_id);
        for bad in [
            "",
            "00-0-0-0",
            &format!("ff-{trace_id}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        ] {
            assert_ne!(RequestContext::accept(None, Some(bad)).trace_id().to_string(), trace_id, "{bad:?}");
        }
    }

    #[test]
    fn without_a_trace_the_ids_stay_the_same_and_nobody_is_told_to_record() {
        let context = RequestContext::background();
        assert_eq!(context.trace_id(), context.clone().trace_id());
        assert_ne!(context.trace_id(), TraceId::INVALID);
        assert!(context.traceparent().ends_with("-00"), "{}", context.traceparent());
        let in_service = context.clone().in_service("shop");
        assert_eq!((in_service.trace_id(), in_service.request_id()), (context.trace_id(), context.request_id()));
    }

    #[test]
    fn headers_of_either_kind_are_taken_over_the_standard_first() {
        let (w3c, jaeger) = ("4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736");
        let mut headers = HashMap::from([
            (REQUEST_ID_HEADER.to_owned(), "r-1".to_owned()),
            ("uber-trace-id".to_owned(), format!("{jaeger}:00f067aa0ba902b7:0:1")),
        ]);
        let context = RequestContext::extract(&headers);
        assert_eq!((context.request_id(), context.trace_id().to_string().as_str()), ("r-1", jaeger));
        headers.insert(TRACEPARENT_HEADER.to_owned(), format!("00-{w3c}-00f067aa0ba902b7-01"));
        assert_eq!(RequestContext::extract(&headers).trace_id().to_string(), w3c);
    }

    #[tokio::test]
    async fn the_context_follows_the_task_and_ends_with_it() {
        let context = RequestContext::background().in_service("shop");
        let seen = context.clone().scope(async { RequestContext::current() }).await;
        assert_eq!(seen.as_ref(), Some(&context));
        assert_eq!(seen.and_then(|seen| seen.service()), Some("shop"));
        assert_eq!(RequestContext::current(), None);
    }

    #[tokio::test]
    async fn what_begins_in_the_name_of_a_service_goes_on_in_it() {
        let inherited = speaking_for("shop", async { RequestContext::background().service() }).await;
        assert_eq!((inherited, current_service()), (Some("shop"), None));
    }
}
