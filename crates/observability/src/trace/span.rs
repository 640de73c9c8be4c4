//! One span, and the context of the work inside it.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};

use crate::{RequestContext, redact};

use super::TRACER;

/// A span that has begun. It ends when it is dropped, at the latest; what runs inside it has [`Span::context`].
pub struct Span {
    context: RequestContext,
    /// Whether anything is recorded: false also where this is no span of its own, only the place around it.
    recording: bool,
}

impl RequestContext {
    /// Begins a span at this place: part of the trace that the context is in, else the first of a new one.
    ///
    /// `attributes` are asked for only if the span is recorded.
    pub fn start(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        let Some(tracer) = TRACER.get() else {
            return Span { context: self.clone(), recording: false };
        };
        let builder = SpanBuilder { span_kind: Some(kind), ..SpanBuilder::from_name(name) };
        let span = tracer.build_with_context(builder, self.otel());
        let context = self.at(self.otel().with_span(span));
        let recording = context.otel().span().is_recording();
        if recording {
            context.otel().span().set_attributes(attributes());
        }
        Span { context, recording }
    }

    /// As [`RequestContext::start`], but only inside a trace that is recorded.
    pub fn child(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Option<Span> {
        let sampled = self.otel().span().span_context().is_sampled();
        sampled.then(|| self.start(kind, name, attributes))
    }
}

/// Begins a span inside the running one, if its trace is recorded; else it is no span, and the context stays as it is.
///
/// `attributes` are asked for only if the span is recorded.
pub fn child(
    kind: SpanKind,
    name: impl Into<Cow<'static, str>>,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Option<Span> {
    RequestContext::current()?.child(kind, name, attributes)
}

impl Span {
    /// The context of what runs inside the span.
    pub fn context(&self) -> &RequestContext {
        &self.context
    }

    /// Runs a future inside the span. The span goes on after it.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        self.context.clone().scope(future)
    }

    /// Whether anything of the span is kept; where not, working out its attributes is in vain.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Sets an attribute.
    pub fn set(&self, attribute: KeyValue) {
        if self.recording {
            self.context.otel().span().set_attribute(attribute);
        }
    }

    /// Gives it another name: what a request is for may be known only once it was looked at.
    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        if self.recording {
            self.context.otel().span().update_name(name);
        }
    }

    /// The work failed. `kind` is `error.type`: a name from a small set, such as `timeout` or `UNAVAILABLE`; `why` is for
    /// people. An event `exception` tells both, too.
    pub fn fail(&self, kind: impl Into<Cow<'static, str>>, why: &str) {
        if self.recording {
            let kind: Cow<'static, str> = kind.into();
            let why = redact::text(why).into_owned();
            let span = self.context.otel().span();
            span.set_attribute(KeyValue::new("error.type", kind.clone()));
            span.add_event(
                "exception",
                vec![KeyValue::new("exception.type", kind), KeyValue::new("exception.message", why.clone())],
            );
            span.set_status(Status::error(why));
        }
    }

    /// Adds what the request spent, by kind ([`crate::spent`]), and ends the span: for the one span of a request in a
    /// service.
    pub fn end_request(self) {
        if self.recording {
            self.context.otel().span().set_attributes(self.context.spent().attributes());
        }
    }

    /// Ends the span.
    pub fn end(self) {}
}

impl Drop for Span {
    fn drop(&mut self) {
        // The context may live on, in an event or a task: the span ends nevertheless.
        if self.recording {
            self.context.otel().span().end();
        }
    }
}
