//! What identifies the request that a task works for.

use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The name of the header and of the gRPC metadata key that carry the request id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The name of the header and of the gRPC metadata key that carry the trace (W3C Trace Context §3.2).
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The request id and the trace that a task works for; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    request_id: Arc<str>,
    trace_id: Arc<str>,
    span_id: Arc<str>,
}

impl RequestContext {
    /// Takes over what a caller sent, where it is well formed, and makes the rest.
    ///
    /// A request id is 1 to 128 of `A-Z a-z 0-9 . _ -`; anything else is replaced, so that it can't forge log lines.
    pub fn accept(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let request_id = request_id.filter(|id| is_request_id(id)).map_or_else(|| new_id().into(), Arc::from);
        let trace_id =
            traceparent.and_then(trace_id_of).map_or_else(|| Uuid::new_v4().simple().to_string().into(), Arc::from);
        Self { request_id, trace_id, span_id: new_span_id() }
    }

    /// A new request, for work that nobody asked for: sweepers, resumed sagas.
    pub fn background() -> Self {
        Self::accept(None, None)
    }

    /// The context of the running task, if it works for a request.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The context of the running task, or a new one.
    pub fn current_or_background() -> Self {
        Self::current().unwrap_or_else(Self::background)
    }

    /// Runs a future inside this context.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The request id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The trace id: 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The id of this part of the trace: 16 lower-case hexadecimal digits.
    pub fn span_id(&self) -> &str {
        &self.span_id
    }

    /// The value of a `traceparent` header that makes the receiver part of this trace.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }
}

fn new_id() -> String {
    // A request id names a moment of traffic, not a thing of the domain: it need not come from a port.
    #[expect(clippy::disallowed_methods, reason = "no test depends on the value of a request id")]
    Uuid::now_v7().to_string()
}

fn new_span_id() -> Arc<str> {
    let mut text = String::with_capacity(16);
    for byte in &Uuid::new_v4().as_bytes()[8..] {
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn trace_id_of(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = (version.len(), trace_id.len(), span_id.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace_id, span_id, flags].into_iter().all(is_hex)
        && version != "ff"
        && trace_id.bytes().any(|b| b != b'0')
        && span_id.bytes().any(|b| b != b'0');
    well_formed.then_some(trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(RequestContext::accept(Some("a.B-9_x"), None).request_id(), "a.B-9_x");
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(129)] {
            assert_ne!(RequestContext::accept(Some(bad), None).request_id(), bad, "{bad:?}");
        }
    }

    #[test]
    fn a_valid_traceparent_is_continued_and_any_other_starts_a_trace() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let context = RequestContext::accept(None, Some(&format!("00-{trace_id}-00f067aa0ba902b7-01")));
        assert_eq!(context.trace_id(), trace_id);
        assert_ne!(context.span_id(), "00f067aa0ba902b7");
        let onwards = RequestContext::accept(None, Some(&context.traceparent()));
        assert_eq!(onwards.trace_id(), trace_id);
        for bad in [
            "",
            "00-0-0-0",
            &format!("ff-{trace_id}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        ] {
            assert_ne!(RequestContext::accept(None, Some(bad)).trace_id(), trace_id, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn the_context_follows_the_task_and_ends_with_it() {
        let context = RequestContext::background();
        let seen = context.clone().scope(async { RequestContext::current() }).await;
        assert_eq!(seen, Some(context));
        assert_eq!(RequestContext::current(), None);
    }
}
