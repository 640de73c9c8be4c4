//! What the gateway does with events: entries go to the streams of their user, revocations to the list, at once.
//!
//! Every gateway needs every event, since the streams and the list of each are its own: so each has a queue of its own
//! (docs/adr/0016-queues-of-instances-and-dead-letters.md).

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event_data::{ChatMemberEvent, InboxAppended, UserEvent, event_type};
use contracts::{Clock, Event};
use messaging::{BusError, ConsumeError, Consumer, EventBus, EventHandler, Subscription};
use observability::RequestContext;
use service_kit::BackgroundTask;
use socketio::SocketIo;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::hub::LiveMessage;
use super::{RealtimeHub, Revocations, metrics};
use crate::realtime::chat::membership;
use crate::realtime::presence::sockets;
use crate::realtime::{Desk, guard};

/// What the queue of every gateway begins with; its instance follows.
pub const QUEUE: &str = "gateway.realtime";
/// What goes into it.
pub const BINDINGS: &[&str] = &[
    event_type::INBOX_APPENDED,
    event_type::USER_BANNED,
    event_type::USER_UNBANNED,
    event_type::USER_ROLES_CHANGED,
    event_type::USER_SESSIONS_REVOKED,
    event_type::CHAT_MEMBER_JOINED,
    event_type::CHAT_MEMBER_LEFT,
];

/// Handles the events of [`QUEUE`]. Every effect may happen twice: a stream drops what it has shown, and a revocation
/// says the same however often it is said.
pub struct RealtimeConsumer {
    /// Where entries go.
    pub hub: Arc<dyn RealtimeHub>,
    /// Where revocations go.
    pub revocations: Arc<Revocations>,
    /// Has the list of revocations read anew.
    pub reload: Arc<Notify>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is connected over Socket.IO.
    pub desk: Desk,
    /// Their sockets.
    pub io: SocketIo,
}

#[async_trait]
impl EventHandler for RealtimeConsumer {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        match event.event_type.as_str() {
            event_type::INBOX_APPENDED => self.push(event, &read(event)?),
            event_type::USER_BANNED | event_type::USER_ROLES_CHANGED | event_type::USER_SESSIONS_REVOKED => {
                self.revoke(event, &read(event)?);
            }
            // A lifted ban makes no old token good again: the user logs in anew.
            event_type::USER_UNBANNED => self.revocations.mark_banned(read::<UserEvent>(event)?.user_id, false),
            event_type::CHAT_MEMBER_JOINED => self.membership(&read(event)?, true),
            event_type::CHAT_MEMBER_LEFT => {
                let member = read(event)?;
                membership::left(&self.desk, &member);
                self.membership(&member, false);
            }
            _ => {}
        }
        Ok(())
    }

    /// Streams read their inbox, the list of revocations is read anew, and it is asked who is still a member of what.
    async fn catch_up(&self) {
        tracing::warn!("live events may have been missed: reading what they were");
        self.reload.notify_one();
        self.hub.tell_all(&LiveMessage::Missed);
        membership::may_have_left(&self.desk);
    }
}

impl RealtimeConsumer {
    fn push(&self, event: &Event, entry: &InboxAppended) {
        if self.hub.is_heard(entry.user_id) {
            let shared = Entry::new(entry.seq, &entry.event, entry.data.get(), RequestContext::current());
            self.hub.publish(entry.user_id, LiveMessage::Entry(shared));
            metrics::observe_fanout(self.clock.now().since(event.time));
            tracing::info!(user.id = %entry.user_id, entry.seq, entry.event, "inbox entry pushed");
        }
    }

    fn membership(&self, member: &ChatMemberEvent, is_member: bool) {
        sockets::membership(&self.io, &self.desk.presence, member, is_member);
    }

    fn revoke(&self, event: &Event, user: &UserEvent) {
        if event.event_type == event_type::USER_BANNED {
            self.revocations.mark_banned(user.user_id, true);
        }
        self.revocations.revoke(user.user_id, user.session_id, user.revoked_before.unwrap_or(event.time));
        self.hub.publish(user.user_id, LiveMessage::AccessChanged);
        guard::access_changed(&self.desk, user.user_id);
    }
}

fn read<'a, T: serde::Deserialize<'a>>(event: &'a Event) -> Result<T, ConsumeError> {
    event.data().map_err(|error| ConsumeError::Poison(format!("its data can't be read: {error}")))
}

/// Declares the queue of this instance, and returns the task that consumes it.
///
/// # Errors
/// When the bus can't be reached.
pub async fn subscribe(
    bus: &Arc<dyn EventBus>,
    instance: &str,
    handler: Arc<RealtimeConsumer>,
    stop: CancellationToken,
) -> Result<BackgroundTask, BusError> {
    let consumer = Consumer::declare(bus, Subscription::broadcast(QUEUE, instance, BINDINGS)).await?;
    Ok(BackgroundTask::new("gateway.realtime consumer", move || {
        let handler: Arc<dyn EventHandler> = handler.clone();
        Arc::clone(&consumer).run(handler, stop.clone())
    }))
}
