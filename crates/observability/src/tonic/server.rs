//! What comes in: request id and trace taken over, a span and a measurement for each call.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry_http::HeaderExtractor;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::RequestContext;
use crate::metrics::{self, GRPC_REQUESTS};
use crate::trace::SpanKind;

use super::code::{code_name, is_failure_of_server};

/// What asks often and tells little: its calls have ids, and no spans.
const PROBES: &str = "/grpc.health.";

/// A layer around the routes of a server, the outermost.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    service: &'static str,
    known: Known,
}

/// The path of a call as the service knows it; `None` for what a caller made up.
type Known = fn(&str) -> Option<&'static str>;

impl Calls {
    /// Calls are worked for in the name of this service.
    pub fn of(service: &'static str) -> Self {
        Self { service, known: |_| None }
    }

    /// Metrics and spans name the calls that this function knows. Without it every call is `unknown` to the metrics: what a
    /// caller may make up is no label.
    #[must_use]
    pub fn named_by(self, known: fn(&str) -> Option<&'static str>) -> Self {
        Self { known, ..self }
    }
}

impl<S> tower_layer::Layer<S> for Calls {
    type Service = Followed<S>;
    fn layer(&self, inner: S) -> Followed<S> {
        Followed { inner, calls: *self }
    }
}

/// See [`Calls`].
#[derive(Clone, Debug)]
pub struct Followed<S> {
    inner: S,
    calls: Calls,
}

impl<S> tower_service::Service<Request<Body>> for Followed<S>
where
    S: tower_service::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is the one that was polled ready; the original takes the fresh one (tower's rule for clones).
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let started = Instant::now();
        let context = RequestContext::extract(&HeaderExtractor(request.headers())).in_service(self.calls.service);
        let known = self.calls.known;
        Box::pin(async move {
            let path = request.uri().path();
            let named = known(path);
            let method = named.unwrap_or("unknown");
            if path.starts_with(PROBES) {
                return context.scope(inner.call(request)).await;
            }
            let span_name = named.map_or_else(|| super::SYSTEM.to_owned(), super::name);
            let span = context.start(SpanKind::Server, span_name, || match named {
                Some(method) => super::attributes(method),
                None => super::unknown_attributes(path),
            });
            let Ok(response) = span.scope(inner.call(request)).await;
            let status = Status::from_header_map(response.headers());
            let code = status.as_ref().map_or(Code::Ok, Status::code);
            if span.is_recording() {
                span.set(super::status(code));
                if let Some(status) = status.filter(|_| is_failure_of_server(code)) {
                    span.fail(code_name(code), status.message());
                }
            }
            let elapsed = started.elapsed();
            metrics::observe(&GRPC_REQUESTS, &[method, code_name(code)], elapsed);
            let elapsed_ms = elapsed.as_millis() as u64;
            span.scope(async { tracing::debug!(method, code = code_name(code), elapsed_ms, "call answered") }).await;
            span.end_request();
            Ok(response)
        })
    }
}
