//! What caused a change.

use observability::RequestContext;

/// The request and the trace that caused a change, carried by the events and emails that follow from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The request.
    pub request_id: Option<String>,
    /// The trace, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}

impl Cause {
    /// The request that the running task works for, if it works for one.
    pub fn current() -> Self {
        RequestContext::current().map_or_else(Self::default, |context| Self {
            request_id: Some(context.request_id().to_owned()),
            traceparent: Some(context.traceparent()),
        })
    }

    /// The context in which later work for the same request runs.
    pub fn context(&self) -> RequestContext {
        RequestContext::accept(self.request_id.as_deref(), self.traceparent.as_deref())
    }
}
