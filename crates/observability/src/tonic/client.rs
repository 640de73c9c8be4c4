//! What goes out: request id and trace handed on, a span and a measurement for each call.

use std::error::Error;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry_http::HeaderInjector;
use tonic::body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::RequestContext;
use crate::logs::error_chain;
use crate::metrics::{self, GRPC_CLIENT_REQUESTS};
use crate::spent::{Dependency, spend};
use crate::trace::{self, Span, SpanKind, propagation};

use super::code::code_name;

/// A service that carries calls, with each call followed: it wraps a channel.
#[derive(Clone, Debug)]
pub struct Followed<S>(pub S);

type BoxError = Box<dyn Error + Send + Sync>;

impl<S> tower_service::Service<Request<Body>> for Followed<S>
where
    S: tower_service::Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let span = trace::child(SpanKind::Client, super::name(&path), || super::attributes(&path));
        let context = span.as_ref().map(|span| span.context().clone()).or_else(RequestContext::current);
        if let Some(context) = &context {
            propagation::inject(context, &mut HeaderInjector(request.headers_mut()));
        }
        let call = Call { path, span, started: Instant::now(), answered: false };
        let answer = {
            // What the transport does before its first await belongs to the call, too.
            let _entered = context.as_ref().map(RequestContext::enter);
            self.0.call(request)
        };
        Box::pin(async move {
            let result = match context {
                Some(context) => context.scope(answer).await,
                None => answer.await,
            };
            let result = result.map_err(Into::into);
            match &result {
                Ok(response) => match Status::from_header_map(response.headers()) {
                    Some(status) => call.end(status.code(), status.message()),
                    None => call.end(Code::Ok, ""),
                },
                Err(error) => call.end(code_of(error.as_ref()), &error_chain(error.as_ref())),
            }
            result
        })
    }
}

/// A call on its way. One that its caller gives up ends as `CANCELLED`.
struct Call {
    path: String,
    span: Option<Span>,
    started: Instant,
    answered: bool,
}

impl Call {
    fn end(mut self, code: Code, why: &str) {
        self.answered = true;
        self.note(code, why);
    }

    fn note(&mut self, code: Code, why: &str) {
        let elapsed = self.started.elapsed();
        metrics::observe(&GRPC_CLIENT_REQUESTS, &[&self.path, code_name(code)], elapsed);
        spend(Dependency::Grpc, elapsed);
        if let Some(span) = self.span.take() {
            span.set(super::status(code));
            if code != Code::Ok {
                span.fail(code_name(code), why);
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.note(Code::Cancelled, "the caller did not wait for the answer");
        }
    }
}

/// The code that tonic will make of a transport's error for the caller.
fn code_of(error: &(dyn Error + 'static)) -> Code {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(status) = error.downcast_ref::<Status>() {
            return status.code();
        }
        if error.is::<TimeoutExpired>() {
            return Code::DeadlineExceeded;
        }
        if error.is::<ConnectError>() {
            return Code::Unavailable;
        }
        cause = error.source();
    }
    Code::Unknown
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::{BoxFuture, pending, ready};
    use tower_service::Service as _;

    use super::*;

    type Answer = Result<Response<Body>, BoxError>;
    type Answering = fn() -> BoxFuture<'static, Answer>;

    /// A channel that answers so.
    struct Answers(Answering);

    impl tower_service::Service<Request<Body>> for Answers {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = BoxFuture<'static, Answer>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            (self.0)()
        }
    }

    fn observed(path: &str, code: Code) -> u64 {
        GRPC_CLIENT_REQUESTS.with_label_values(&[path, code_name(code)]).get_sample_count()
    }

    #[test]
    fn a_call_is_observed_once_under_the_code_that_its_caller_sees() {
        const PATH: &str = "/test.v1.Codes/Call";
        let answers: [(Code, Answering); 6] = [
            (Code::Ok, || ready(Ok(Response::new(Body::empty()))).boxed()),
            (Code::NotFound, || ready(Ok(Status::not_found("no").into_http())).boxed()),
            (Code::ResourceExhausted, || ready(Err(Status::resource_exhausted("no").into())).boxed()),
            (Code::Unavailable, || ready(Err(ConnectError("nobody".into()).into())).boxed()),
            (Code::Unknown, || ready(Err("odd".into())).boxed()),
            // Given up by its caller.
            (Code::Cancelled, || pending().boxed()),
        ];
        for (code, answer) in answers {
            let before = observed(PATH, code);
            let request = Request::builder().uri(PATH).body(Body::empty()).unwrap();
            drop(Followed(Answers(answer)).call(request).now_or_never());
            assert_eq!(observed(PATH, code), before + 1, "{code:?}");
        }
    }
}
