//! One call, from its beginning to its end.

use std::time::{Duration, Instant};

use opentelemetry::KeyValue;

use crate::RequestContext;
use crate::context;
use crate::spent::spend;
use crate::trace::{Span, SpanKind, child};

use super::client::Client;
use super::fault::{Fault, StoreFault};
use super::slow::slow_threshold;

/// A call that is being made. Dropped without [`Call::end`], it was cancelled.
pub struct Call<'a> {
    client: &'a Client,
    operation: &'static str,
    began: Instant,
    span: Option<Span>,
    statements: Option<String>,
    is_over: bool,
}

impl<'a> Call<'a> {
    pub(super) fn begin(client: &'a Client, operation: &'static str) -> Self {
        let began = Instant::now();
        let span =
            if client.has_spans() { child(SpanKind::Client, operation, || client.attributes(operation)) } else { None };
        Self { client, operation, began, span, statements: None, is_over: false }
    }

    /// Whether anybody will see [`Call::statements`].
    pub fn is_recorded(&self) -> bool {
        self.span.is_some()
    }

    /// The context of what runs inside the call's span, if it has one.
    pub fn context(&self) -> Option<&RequestContext> {
        self.span.as_ref().map(Span::context)
    }

    /// The statements that were run, with placeholders instead of values (`db.query.text`).
    pub fn statements(&mut self, statements: String) {
        if statements.is_empty() {
            return;
        }
        if let Some(span) = &self.span {
            span.set(KeyValue::new("db.query.text", statements.clone()));
        }
        self.statements = Some(statements);
    }

    /// Ends the call, with its outcome.
    pub fn end<T, E: StoreFault>(mut self, outcome: &Result<T, E>) {
        self.is_over = true;
        if let (Some(span), Err(error)) = (&self.span, outcome)
            && let Some(fault) = error.fault()
        {
            fail(span, &fault);
        }
    }

    fn tell_slow(&self, took: Duration) {
        // So that the line carries the ids of the call's own span.
        let _inside = self.span.as_ref().map(|span| span.context().enter());
        tracing::warn!(
            target: "slow_query",
            operation = self.operation,
            system = self.client.system().name(),
            database = self.client.namespace(),
            duration_ms = took.as_secs_f64() * 1e3,
            statements = self.statements.as_deref(),
            "slow query"
        );
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let service = context::current_service();
        self.client.meters().observe(self.operation, service, took);
        spend(self.client.counts_as(), took);
        if let (false, Some(span)) = (self.is_over, &self.span) {
            fail(span, &Fault::new("cancelled", "nobody waited for the answer any more"));
        }
        if slow_threshold().is_some_and(|threshold| took >= threshold) {
            self.client.meters().slow(service).inc();
            self.tell_slow(took);
        }
    }
}

fn fail(span: &Span, fault: &Fault<'_>) {
    if let Some(status) = &fault.status {
        span.set(KeyValue::new("db.response.status_code", status.clone().into_owned()));
    }
    span.fail(fault.kind, &fault.why);
}
