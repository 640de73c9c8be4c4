//! The request that work goes back to, in a form that a store can keep until the work goes on.

use crate::RequestContext;

/// A request and the place in its trace that something was begun at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The request's id.
    pub request_id: String,
    /// Its place in the trace, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}

impl Cause {
    /// That of the running task, if it works for a request.
    pub fn current() -> Option<Self> {
        let context = RequestContext::current()?;
        Some(Self { request_id: context.request_id().to_owned(), traceparent: Some(context.traceparent()) })
    }

    /// The context in which what was begun goes on: the same request, a later part of the same trace.
    pub fn context(&self) -> RequestContext {
        RequestContext::accept(Some(&self.request_id), self.traceparent.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_goes_on_in_the_same_request_and_trace() {
        assert_eq!(Cause::current(), None);
        let begun =
            RequestContext::accept(Some("r-1"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let cause = begun.clone().scope(async { Cause::current() }).await.unwrap();
        assert_eq!(cause.context(), begun);
    }
}
