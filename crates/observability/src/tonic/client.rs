//! What goes out: request id and trace handed on, a span and a measurement for each call.

use std::error::Error;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry_http::HeaderInjector;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::RequestContext;
use crate::metrics::GRPC_CLIENT_REQUESTS;
use crate::spent::{Dependency, spend};
use crate::trace::{self, KeyValue, SpanKind, propagation};

use super::code::code_name;

/// A service that carries calls, with each call followed: it wraps a channel.
#[derive(Clone, Debug)]
pub struct Followed<S>(pub S);

impl<S, E> tower_service::Service<Request<Body>> for Followed<S>
where
    S: tower_service::Service<Request<Body>, Response = Response<Body>, Error = E>,
    S::Future: Send + 'static,
    E: AsRef<dyn Error + Send + Sync + 'static> + 'static,
{
    type Response = Response<Body>;
    type Error = E;
    type Future = BoxFuture<'static, Result<Response<Body>, E>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let span = trace::child(SpanKind::Client, super::name(&path), || super::attributes(&path));
        let context = span.as_ref().map(|span| span.context().clone()).or_else(RequestContext::current);
        if let Some(context) = &context {
            propagation::inject(context, &mut HeaderInjector(request.headers_mut()));
        }
        let answer = {
            // What the transport does before its first await belongs to the call, too.
            let _entered = context.as_ref().map(RequestContext::enter);
            self.0.call(request)
        };
        Box::pin(async move {
            let result = match &context {
                Some(context) => context.clone().scope(answer).await,
                None => answer.await,
            };
            let elapsed = started.elapsed();
            let status = match &result {
                Ok(response) => Status::from_header_map(response.headers()),
                Err(error) => Some(status_of(error.as_ref())),
            };
            let code = status.as_ref().map_or(Code::Ok, Status::code);
            GRPC_CLIENT_REQUESTS.with_label_values(&[&path, code_name(code)]).observe(elapsed.as_secs_f64());
            spend(Dependency::Grpc, elapsed);
            if let Some(span) = span {
                span.set(KeyValue::new("rpc.grpc.status_code", code as i64));
                if let Some(status) = status.filter(|_| code != Code::Ok) {
                    span.fail(code_name(code), status.message());
                }
                span.end();
            }
            result
        })
    }
}

/// What tonic will make of a transport's error for the caller.
fn status_of(error: &(dyn Error + Send + Sync + 'static)) -> Status {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(status) = error.downcast_ref::<Status>() {
            return Status::new(status.code(), status.message());
        }
        cause = error.source();
    }
    Status::unavailable(error.to_string())
}
