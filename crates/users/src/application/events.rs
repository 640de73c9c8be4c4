//! Events about users, as others hear them: what is not there can't leak, so neither names nor addresses.

use std::sync::Arc;

use contracts::event::EventHead;
use contracts::event_data::{UserEvent, event_type};
use contracts::ids::SessionId;
use contracts::{Event, IdGenerator, Timestamp};
use observability::RequestContext;

use crate::domain::User;

/// Makes events that carry the request they come from.
#[derive(Clone)]
pub struct EventFactory {
    ids: Arc<dyn IdGenerator>,
}

impl EventFactory {
    /// A factory that names events with these ids.
    pub fn new(ids: Arc<dyn IdGenerator>) -> Self {
        Self { ids }
    }

    /// Notes the request that the running task works for, so that events can be made on another thread.
    pub fn for_this_request(&self) -> RequestEvents {
        RequestEvents { ids: Arc::clone(&self.ids), context: RequestContext::current_or_background() }
    }
}

/// Makes the events of one request.
pub struct RequestEvents {
    ids: Arc<dyn IdGenerator>,
    context: RequestContext,
}

impl RequestEvents {
    /// Something happened to the user, who is as they are now.
    pub fn about(&self, user: &User, event_type: &str, now: Timestamp) -> Event {
        self.event(user, event_type, now, None, None)
    }

    /// Something happened that voids all the user's access tokens issued so far.
    pub fn voiding_all(&self, user: &User, event_type: &str, now: Timestamp) -> Event {
        self.event(user, event_type, now, Some(user.tokens_not_before()), None)
    }

    /// A session of the user ended, with its access tokens issued before a moment.
    pub fn session_ended(
        &self,
        user: &User,
        session_id: SessionId,
        revoked_before: Timestamp,
        now: Timestamp,
    ) -> Event {
        self.event(user, event_type::USER_SESSIONS_REVOKED, now, Some(revoked_before), Some(session_id))
    }

    fn event(
        &self,
        user: &User,
        event_type: &str,
        now: Timestamp,
        revoked_before: Option<Timestamp>,
        session_id: Option<SessionId>,
    ) -> Event {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "users",
            event_type,
            subject: user.id().to_string(),
            time: now,
            aggregate_version: user.version(),
            traceparent: Some(self.context.traceparent()),
            request_id: Some(self.context.request_id().to_owned()),
        };
        let data = UserEvent {
            user_id: user.id(),
            roles: user.roles().iter().map(|role| role.to_string()).collect(),
            ban_reason: user.ban_reason().map(|reason| reason.as_str().to_owned()),
            revoked_before,
            session_id,
        };
        Event::new(head, &data).expect("texts and moments of this era always fit into JSON")
    }
}
