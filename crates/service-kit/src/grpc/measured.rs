//! How long calls to neighbours take.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::Response;
use observability::metrics::{self, GRPC_CLIENT_REQUESTS};
use tonic::body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::grpc::code::code_name;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The label of a path: `unknown` for what the .proto files don't describe.
pub(super) fn method(path: &str) -> &'static str {
    contracts::grpc::find_method(path).unwrap_or("unknown")
}

/// A call that is observed when it is answered. One that its caller gives up counts as `CANCELLED`.
pub struct Measured<F> {
    call: F,
    method: &'static str,
    started: Instant,
    observed: bool,
}

impl<F> Measured<F> {
    /// Measures from now on.
    pub(super) fn new(method: &'static str, call: F) -> Self {
        Self { call, method, started: Instant::now(), observed: false }
    }

    fn observe(&mut self, code: Code) {
        self.observed = true;
        metrics::observe(&GRPC_CLIENT_REQUESTS, &[self.method, code_name(code)], self.started.elapsed());
    }
}

impl<F: Future<Output = Result<Response<Body>, BoxError>> + Unpin> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let answer = ready!(Pin::new(&mut self.call).poll(context));
        let code = match &answer {
            Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
            Err(error) => code_of(error.as_ref()),
        };
        self.observe(code);
        Poll::Ready(answer)
    }
}

impl<F> Drop for Measured<F> {
    fn drop(&mut self) {
        if !self.observed {
            self.observe(Code::Cancelled);
        }
    }
}

/// What tonic will make of an error of the transport.
fn code_of(error: &(dyn StdError + 'static)) -> Code {
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
    use std::future::{Pending, Ready, pending, ready};

    use futures::FutureExt as _;

    use super::*;

    type Answer = Result<Response<Body>, BoxError>;

    fn observed(method: &str, code: Code) -> u64 {
        GRPC_CLIENT_REQUESTS.with_label_values(&[method, code_name(code)]).get_sample_count()
    }

    #[test]
    fn a_call_is_observed_once_under_the_code_that_its_caller_sees() {
        const PATH: &str = "/souk.users.v1.UsersService/Register";
        let answers: [(Code, fn() -> Answer); 5] = [
            (Code::Ok, || Ok(Response::new(Body::empty()))),
            (Code::NotFound, || Ok(Status::not_found("no").into_http())),
            (Code::ResourceExhausted, || Err(Status::resource_exhausted("no").into())),
            (Code::Unavailable, || Err(ConnectError("nobody".into()).into())),
            (Code::Unknown, || Err("odd".into())),
        ];
        for (code, answer) in answers {
            let before = observed(PATH, code);
            let call: Measured<Ready<Answer>> = Measured::new(PATH, ready(answer()));
            drop(call.now_or_never().unwrap());
            assert_eq!(observed(PATH, code), before + 1, "{code:?}");
        }
        let before = observed(PATH, Code::Cancelled);
        let mut given_up: Measured<Pending<Answer>> = Measured::new(PATH, pending());
        assert!((&mut given_up).now_or_never().is_none());
        drop(given_up);
        assert_eq!(observed(PATH, Code::Cancelled), before + 1);
    }

    #[test]
    fn a_path_that_nobody_described_is_no_label() {
        assert_eq!(method("/made/Up"), "unknown");
        assert_eq!(method("/souk.users.v1.UsersService/Register"), "/souk.users.v1.UsersService/Register");
    }
}
