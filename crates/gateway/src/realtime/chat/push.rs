//! `message:new`: what was stored is told to the room, from the bus, whoever took the message, by REST or by socket.
//!
//! One gateway at a time does so for all of them, in the order of the events, through the adapter of the cluster. An event
//! is done with only once the adapter has stored what it was told: a gateway that dies in between leaves it to the next one.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Event;
use contracts::event_data::{ChatMemberEvent, ChatMessageCreated, event_type};
use contracts::ids::ChatRoomId;
use messaging::{BusError, ConsumeError, Consumer, EventBus, EventHandler, Subscription};
use serde::de::DeserializeOwned;
use serde_json::json;
use service_kit::BackgroundTask;
use socketio::{Emitter, SocketIo};
use tokio_util::sync::CancellationToken;

use super::room;
use crate::realtime::session;

/// The queue that all gateways share.
pub const QUEUE: &str = "gateway.chat";
/// What goes into it.
pub const BINDINGS: &[&str] = &[event_type::CHAT_MESSAGE_CREATED, event_type::CHAT_MEMBER_LEFT];
/// So long an event waits for the store of the cluster, before it is tried again later.
const STORED_WITHIN: Duration = Duration::from_secs(5);
/// Messages remembered as pushed.
const REMEMBERED: usize = 4096;

/// Handles the events of [`QUEUE`]. One that comes again is pushed again if another gateway had it before: clients know a
/// message by its id, and its place by its `seq`.
pub struct ChatPusher {
    io: SocketIo,
    pushed: Mutex<Pushed>,
}

impl ChatPusher {
    /// Pushes through this server.
    pub fn new(io: SocketIo) -> Self {
        Self { io, pushed: Mutex::default() }
    }

    fn everyone(&self) -> Result<Emitter, ConsumeError> {
        self.io.of("/").map_err(|_| ConsumeError::Transient("the server is being stopped".to_owned()))
    }

    fn pushed<T>(&self, look: impl FnOnce(&mut Pushed) -> T) -> T {
        look(&mut self.pushed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn message(&self, message: &ChatMessageCreated) -> Result<(), ConsumeError> {
        let place = (message.room_id, message.seq);
        if self.pushed(|pushed| pushed.places.contains(&place)) {
            return Ok(());
        }
        self.everyone()?.to(room(message.room_id)).emit("message:new", message).map_err(poison)?;
        stored(&self.io).await?;
        self.pushed(|pushed| pushed.remember(place));
        tracing::info!(room.id = %message.room_id, message.seq, "chat message pushed");
        Ok(())
    }

    /// The sockets of the user themselves are told where they leave: [`super::membership`].
    async fn member_left(&self, member: &ChatMemberEvent) -> Result<(), ConsumeError> {
        let others = self.everyone()?.to(room(member.room_id)).except(session::room_of(member.user_id));
        let left = json!({ "user_id": member.user_id, "room_id": member.room_id });
        others.emit("user:left", &left).map_err(poison)?;
        stored(&self.io).await
    }
}

#[async_trait]
impl EventHandler for ChatPusher {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        match event.event_type.as_str() {
            event_type::CHAT_MESSAGE_CREATED => self.message(&data(event)?).await,
            event_type::CHAT_MEMBER_LEFT => self.member_left(&data(event)?).await,
            _ => Ok(()),
        }
    }
}

/// Waits until the adapter has stored what was sent before.
async fn stored(io: &SocketIo) -> Result<(), ConsumeError> {
    io.flush(STORED_WITHIN).await.map_err(|error| ConsumeError::Transient(error.to_string()))
}

fn data<T: DeserializeOwned>(event: &Event) -> Result<T, ConsumeError> {
    event.data().map_err(|error| ConsumeError::Poison(format!("its data can't be read: {error}")))
}

fn poison(error: impl std::fmt::Display) -> ConsumeError {
    ConsumeError::Poison(format!("it has no form in JSON: {error}"))
}

/// What this gateway has pushed of late.
#[derive(Default)]
struct Pushed {
    places: HashSet<(ChatRoomId, u64)>,
    order: VecDeque<(ChatRoomId, u64)>,
}

impl Pushed {
    fn remember(&mut self, place: (ChatRoomId, u64)) {
        if self.places.insert(place) {
            self.order.push_back(place);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}

/// Declares the queue, and returns the task that consumes it.
///
/// # Errors
/// When the bus can't be reached.
pub async fn subscribe(
    bus: &Arc<dyn EventBus>,
    io: SocketIo,
    stop: CancellationToken,
) -> Result<BackgroundTask, BusError> {
    let consumer = Consumer::declare(bus, Subscription::ordered(QUEUE, BINDINGS)).await?;
    let pusher = Arc::new(ChatPusher::new(io));
    Ok(BackgroundTask::new("gateway.chat consumer", move || {
        let handler: Arc<dyn EventHandler> = pusher.clone();
        Arc::clone(&consumer).run(handler, stop.clone())
    }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_pushed_is_remembered_for_a_while() {
        let room = ChatRoomId::from_uuid(Uuid::from_u128(1));
        let mut pushed = Pushed::default();
        for seq in 1..=10_000 {
            pushed.remember((room, seq));
            pushed.remember((room, seq));
        }
        assert!(pushed.places.contains(&(room, 10_000)) && !pushed.places.contains(&(room, 1)));
        assert_eq!((pushed.places.len(), pushed.order.len()), (REMEMBERED, REMEMBERED));
    }
}
