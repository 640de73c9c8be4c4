//! The event of a change, as it is kept in the log and travels on the bus, and where the log is settled; the same for every
//! store.

use contracts::event::EventHead;
use contracts::{Event, IdGenerator};
use observability::{Cause, RequestContext};

use crate::application::ports::RepositoryError;
use crate::domain::OrderEvent;

/// Puts an event into its envelope, with the request id and the trace of the caller.
pub(super) fn envelope(ids: &dyn IdGenerator, event: &OrderEvent) -> Result<Event, RepositoryError> {
    let context = RequestContext::current();
    let head = EventHead {
        id: ids.new_uuid(),
        service: "orders",
        event_type: event.event_type,
        subject: event.data.id.to_string(),
        time: event.data.updated_at,
        aggregate_version: event.data.version,
        traceparent: context.as_ref().map(RequestContext::traceparent),
        request_id: context.map(|context| context.request_id().to_owned()),
    };
    Event::new(head, &event.data).map_err(|error| RepositoryError::Unavailable(Box::new(error)))
}

/// The request that an event as it is kept in the log came from.
pub(super) fn cause(body: &str) -> Option<Cause> {
    let event: Event = serde_json::from_str(body).ok()?;
    Some(Cause { request_id: event.requestid?, traceparent: event.traceparent })
}

/// The last position before every event of an order whose saga is not done: `end` is that of the log, `owed` the first among
/// the last events of such orders.
pub(super) fn settled(end: i64, owed: Option<i64>) -> u64 {
    let settled = owed.map_or(end, |owed| end.min(owed - 1));
    u64::try_from(settled).unwrap_or(0)
}
