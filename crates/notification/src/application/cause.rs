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

    /// A JSON object that is told to the user, with the request that caused it as the member `request_id`: a screen can name
    /// what operators search for. A request id needs no escapes.
    pub fn named_in(&self, object: String) -> String {
        match (&self.request_id, object.strip_suffix('}')) {
            (Some(id), Some("{")) => format!(r#"{{"request_id":"{id}"}}"#),
            (Some(id), Some(members)) => format!(r#"{members},"request_id":"{id}"}}"#),
            _ => object,
        }
    }

    /// The context in which later work for the same request runs.
    pub fn context(&self) -> RequestContext {
        RequestContext::accept(self.request_id.as_deref(), self.traceparent.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_named_beside_what_it_caused() {
        let cause = Cause { request_id: Some("r-1".to_owned()), traceparent: None };
        assert_eq!(cause.named_in("{}".to_owned()), r#"{"request_id":"r-1"}"#);
        assert_eq!(cause.named_in(r#"{"count":1}"#.to_owned()), r#"{"count":1,"request_id":"r-1"}"#);
        assert_eq!(Cause::default().named_in(r#"{"count":1}"#.to_owned()), r#"{"count":1}"#);
    }
}
