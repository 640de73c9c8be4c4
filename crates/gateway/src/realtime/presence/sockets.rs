//! The presence of those who are connected over Socket.IO: their rooms, what they ask, what they are told.
//!
//! A user's rooms are the chat rooms that they are a member of and the rooms that their sockets have joined. So that members
//! hear of each other without being in the room of the chat, each socket is in a room of its own making for every
//! membership: `peers:chat:<id>`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contracts::event_data::ChatMemberEvent;
use contracts::grpc::notification::ListRoomsRequest;
use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use observability::RequestContext;
use serde_json::json;
use service_kit::backoff::Backoff;
use service_kit::grpc::deadline;
use socketio::{DisconnectReason, Namespace, Socket, SocketIo};
use tokio::sync::watch;

use super::{Announce, Change, DeviceId, Parting, Presence, Room};
use crate::clients::call;
use crate::extract::Caller;
use crate::realtime::call::{Asker, Call};
use crate::realtime::session::room_of;
use crate::realtime::{Desk, Session, rooms};

/// What the rooms of members begin with, before the name of what they are members of.
const PEERS: &str = "peers:";
/// What the names of chat rooms begin with.
const CHAT: &str = "chat:";
/// Most chat rooms in which a user is told of others, and others of them: the newest.
const MOST_CHATS: usize = 200;
/// Chat rooms of one page.
const PAGE: u32 = 100;
/// Most pages that are read for them: a page may hold fewer than asked for.
const MOST_PAGES: usize = 4;
/// The time of an attempt to read them: others wait to hear of the user.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Users of one question.
const ASKED: std::ops::RangeInclusive<usize> = 1..=100;
/// Waits between attempts to read the chat rooms of a user.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(10) };

/// Adds the events of presence.
pub fn mount(namespace: Namespace) -> Namespace {
    namespace.on("presence:query", query)
}

/// The device that a socket is; its extension.
struct Here {
    device: DeviceId,
    arrived: watch::Sender<bool>,
}

/// The room of presence that the members of a chat room share.
fn chat(id: impl std::fmt::Display) -> Room {
    format!("{CHAT}{id}").into()
}

/// The room of Socket.IO in which those are who share this one.
fn audience(room: &Room) -> socketio::Room {
    if room.starts_with(CHAT) { format!("{PEERS}{room}").into() } else { Room::clone(room) }
}

/// A client has connected: its user is here once its chat rooms are known.
pub async fn connected(desk: &Desk, socket: &Socket, session: &Session) {
    let caller = session.caller();
    let joined = socket.rooms().into_iter().filter(|room| room.starts_with(rooms::PREFIX));
    let mut known: BTreeSet<Room> = joined.collect();
    let device = desk.presence.begin(caller.id());
    socket.insert_extension(Here { device: device.clone(), arrived: watch::Sender::new(false) });
    // Its end may have come before this.
    if !socket.is_connected() {
        desk.presence.end(&device, Parting::Lost);
        return;
    }
    let mut failures = 0;
    loop {
        let caller = session.caller();
        let found = tokio::select! {
            found = chats(desk, &caller) => found,
            () = session.left.cancelled() => return,
        };
        match found {
            Ok(chats) => {
                known.extend(chats);
                arrive(desk, socket, &device, known);
                return;
            }
            Err(refusal) => {
                tracing::warn!(
                    reason = refusal.reason.as_str(),
                    "the chat rooms of a client could not be read: trying again"
                );
            }
        }
        if failures == 0 {
            // Who shares another room with them need not wait.
            arrive(desk, socket, &device, known.clone());
        }
        failures += 1;
        let wait = BACKOFF.wait(failures, u64::from(socket.id().as_str().as_bytes()[0]));
        if tokio::time::timeout(wait, session.left.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// The device is in these rooms. The socket hears of those who come from now on, so it is in their company first.
fn arrive(desk: &Desk, socket: &Socket, device: &DeviceId, rooms: BTreeSet<Room>) {
    socket.join_all(rooms.iter().filter(|room| room.starts_with(CHAT)).map(audience));
    let Some(rooms) = desk.presence.arrive(device, rooms) else { return };
    let audiences: BTreeSet<_> = rooms.iter().filter(|room| room.starts_with(CHAT)).map(audience).collect();
    // Memberships that ended meanwhile, or while the client was away.
    for room in socket.rooms() {
        if room.starts_with(PEERS) && !audiences.contains(&room) {
            socket.leave(room);
        }
    }
    socket.join_all(audiences);
    if let Some(here) = socket.extension::<Here>() {
        here.arrived.send_replace(true);
    }
}

/// The chat rooms that a user is a member of.
async fn chats(desk: &Desk, caller: &Caller) -> Result<Vec<Room>, Refusal> {
    let reading = deadline::within(desk.answer_within.min(READ_WITHIN), async {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let request = caller.request(ListRoomsRequest { joined_only: true, limit: PAGE, cursor })?;
            let page = call("chat.ListRooms", desk.clients.chat().list_rooms(request)).await?;
            found.extend(page.items.iter().map(|room| chat(&room.id)));
            cursor = page.next_cursor;
            if cursor.is_empty() || found.len() >= MOST_CHATS {
                break;
            }
        }
        found.truncate(MOST_CHATS);
        Ok(found)
    });
    RequestContext::background().in_service("gateway").scope(reading).await
}

/// A client is gone.
pub fn disconnected(desk: &Desk, socket: &Socket, reason: DisconnectReason) {
    if let Some(here) = socket.extension::<Here>() {
        // Who may come back with its session, or did so already, is not gone yet.
        let lost = reason.is_recoverable() || reason == DisconnectReason::Superseded;
        desk.presence.end(&here.device, if lost { Parting::Lost } else { Parting::AtOnce });
    }
}

/// The socket joined a room by its name, or left it.
pub fn in_room(desk: &Desk, socket: &Socket, room: &str, is_in: bool) {
    if let Some(here) = socket.extension::<Here>() {
        desk.presence.set_room(&here.device, &room.into(), is_in);
    }
}

/// A user became a member of a chat room, or is no more. Every gateway hears of it, for its own sockets.
pub fn membership(io: &SocketIo, presence: &Presence, event: &ChatMemberEvent, is_member: bool) {
    let room = chat(event.room_id);
    // In this order: a socket that is just coming has either heard of it or is in the room already.
    presence.set_membership(event.user_id, &room, is_member);
    let Ok(everyone) = io.of("/") else { return };
    let sockets = everyone.local().to(room_of(event.user_id));
    if is_member {
        sockets.sockets_join(audience(&room));
    } else {
        sockets.sockets_leave(audience(&room));
    }
}

/// `presence:query` [user ids].
async fn query(call: Call<Vec<String>>) {
    call.answer(who_is_online).await;
}

async fn who_is_online(asker: Asker, asked: Vec<String>) -> Result<BTreeMap<String, bool>, Refusal> {
    if !ASKED.contains(&asked.len()) {
        return Err(Refusal::invalid("", format!("must be {} to {} user ids", ASKED.start(), ASKED.end())));
    }
    let mut users = BTreeMap::new();
    for (number, id) in asked.into_iter().enumerate() {
        let user: UserId =
            id.parse().map_err(|_| Refusal::invalid(format!("/{number}"), "must be the id of a user, a UUID"))?;
        users.insert(id, user);
    }
    let own = asker.caller.id();
    let is_staff = asker.caller.user().is_staff();
    if !is_staff {
        has_arrived(&asker.socket).await?;
    }
    let asked = asker.desk.presence.online((!is_staff).then_some(own), users.values().copied().collect());
    let online = tokio::time::timeout(deadline::remaining(), asked).await;
    let online = online.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
    Ok(users.into_iter().zip(online).map(|((id, user), online)| (id, online || user == own)).collect())
}

fn unavailable() -> Refusal {
    Refusal::new(Reason::Unavailable, "who is online is not known")
}

/// Waits until the rooms of the asker are known: who they share them with is the question.
async fn has_arrived(socket: &Socket) -> Result<(), Refusal> {
    let here = socket.extension::<Here>().ok_or_else(unavailable)?;
    let mut arrived = here.arrived.subscribe();
    let known = tokio::time::timeout(deadline::remaining(), arrived.wait_for(|arrived| *arrived)).await;
    known.map_err(|_| unavailable())?.map(drop).map_err(|_| unavailable())
}

/// Tells the sockets that share a room with a user, on all gateways, each once; but not the user's own.
pub struct ToSockets(pub SocketIo);

impl Announce for ToSockets {
    fn announce(&self, change: &Change) {
        // No room would mean everybody.
        let (false, Ok(everyone)) = (change.rooms.is_empty(), self.0.of("/")) else { return };
        let audience = change.rooms.iter().map(audience).fold(everyone, socketio::Emitter::to);
        let event = if change.is_online { "user:online" } else { "user:offline" };
        let told = audience.except(room_of(change.user)).volatile().emit(event, &json!({ "user_id": change.user }));
        if let Err(error) = told {
            tracing::error!(event, %error, "an event could not be encoded");
        }
    }
}

/// The task that announces to the sockets of `io` who comes and goes.
pub fn announcer(io: &SocketIo) -> Arc<dyn Announce> {
    Arc::new(ToSockets(io.clone()))
}
