//! Whoever is a member no more hears no more of a room. Notification says who is; its events say when to ask.

use std::time::Duration;

use contracts::event_data::ChatMemberEvent;
use contracts::grpc::notification::ListMembersRequest;
use contracts::ids::{ChatRoomId, UserId};
use contracts::{Reason, Refusal};
use futures::{StreamExt as _, stream};
use observability::RequestContext;
use serde_json::json;
use service_kit::backoff::Backoff;
use service_kit::grpc::deadline;
use socketio::Socket;

use super::{is_in, room, rooms_of, tell_only, typing};
use crate::clients::call;
use crate::extract::Caller;
use crate::realtime::call::Asker;
use crate::realtime::session::Connected;
use crate::realtime::{Desk, Session};

/// Rooms of one session that are asked for: a client in more of them starts over.
const MOST_ROOMS: usize = 200;
/// Questions on the way at once, for one client.
const AT_ONCE: usize = 8;
/// Waits between attempts to ask.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(2) };
/// Attempts; who can't be found to be a member then is held to be none.
const ATTEMPTS: u32 = 6;

/// Rooms that a recovered session was in, and whose members its user is no longer among.
struct EndedMeanwhile(Vec<ChatRoomId>);

/// Whether a refusal says that the caller is no member. To who may not even join, there is no such room.
pub fn has_ended(refusal: &Refusal) -> bool {
    matches!(refusal.reason, Reason::NotAMember | Reason::ChatRoomNotFound)
}

/// An event of a room was refused: if that is because the membership has ended, so does what comes of it.
pub fn heed(asker: &Asker, id: ChatRoomId, refusal: &Refusal) {
    if has_ended(refusal) {
        end(&asker.desk, &asker.socket, asker.caller.id(), id);
    }
}

/// Has a socket leave a room; its client is told by `user:left` about its own user.
pub fn end(desk: &Desk, socket: &Socket, user: UserId, id: ChatRoomId) {
    if is_in(socket, id) {
        typing::end_of(&desk.chat, socket, id);
        socket.leave(room(id));
        say_so(socket, user, id);
    }
}

fn say_so(socket: &Socket, user: UserId, id: ChatRoomId) {
    tell_only(socket, "user:left", &json!({ "user_id": user, "room_id": id }));
}

/// A membership has ended, at the latest when the event was stored: the user may be back by now. Returns at once.
pub fn left(desk: &Desk, event: &ChatMemberEvent) {
    for connected in desk.sessions.of(event.user_id) {
        if is_in(&connected.socket, event.room_id) {
            tokio::spawn(look_again(desk.clone(), connected, vec![event.room_id]));
        }
    }
}

/// Memberships may have ended unheard. Returns at once.
pub fn may_have_left(desk: &Desk) {
    let all = desk.sessions.all();
    let desk = desk.clone();
    tokio::spawn(async move {
        let looks = all.into_iter().map(|connected| {
            let rooms = rooms_of(&connected.socket);
            look_again(desk.clone(), connected, rooms)
        });
        stream::iter(looks).buffer_unordered(AT_ONCE).collect::<()>().await;
    });
}

/// Asks whether the client is still a member of these rooms; those that it is not it leaves.
async fn look_again(desk: Desk, connected: Connected, rooms: Vec<ChatRoomId>) {
    let Connected { socket, session } = connected;
    for id in rooms {
        if !stays(&desk, &session, id).await {
            end(&desk, &socket, session.caller().id(), id);
        }
    }
}

/// Whether a client is still a member, or gone. What can't be known for long counts as no.
async fn stays(desk: &Desk, session: &Session, id: ChatRoomId) -> bool {
    for attempt in 1..=ATTEMPTS {
        let caller = session.caller();
        let asking = deadline::within(desk.answer_within, is_member(desk, &caller, id));
        let refusal = match RequestContext::background().in_service("gateway").scope(asking).await {
            Ok(is_member) => return is_member,
            Err(refusal) => refusal,
        };
        tracing::warn!(
            attempt,
            reason = refusal.reason.as_str(),
            "who is a member of a chat room could not be asked yet"
        );
        let wait = BACKOFF.wait(attempt, u64::from(id.as_uuid().as_bytes()[15]));
        if tokio::time::timeout(wait, session.left.cancelled()).await.is_ok() {
            return true;
        }
    }
    false
}

/// Members alone may see who the members are.
async fn is_member(desk: &Desk, caller: &Caller, id: ChatRoomId) -> Result<bool, Refusal> {
    let first = ListMembersRequest { room_id: id.to_string(), limit: 1, cursor: String::new() };
    match call("chat.ListMembers", desk.clients.chat().list_members(caller.request(first)?)).await {
        Ok(_) => Ok(true),
        Err(refusal) if has_ended(&refusal) => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// A session is about to go on: it leaves the rooms whose member its user is no longer.
///
/// # Errors
/// It could not be asked about all of them.
pub async fn check_recovered(desk: &Desk, socket: &Socket, caller: &Caller) -> Result<(), Refusal> {
    let rooms = rooms_of(socket);
    if rooms.len() > MOST_ROOMS {
        return Err(Refusal::new(Reason::RateLimited, "the session was in too many rooms to ask for each"));
    }
    let questions = rooms.into_iter().map(|id| async move { (id, is_member(desk, caller, id).await) });
    let answers: Vec<_> = stream::iter(questions).buffer_unordered(AT_ONCE).collect().await;
    let mut ended = Vec::new();
    for (id, is_member) in answers {
        if !is_member? {
            socket.leave(room(id));
            ended.push(id);
        }
    }
    if !ended.is_empty() {
        socket.insert_extension(EndedMeanwhile(ended));
    }
    Ok(())
}

/// A session has gone on: its client learns what it left, and what ended between the question and this moment, when
/// events did not find it yet, is asked for again.
pub fn recovered(desk: &Desk, socket: &Socket, session: &std::sync::Arc<Session>) {
    if let Some(ended) = socket.extension::<EndedMeanwhile>() {
        for id in &ended.0 {
            say_so(socket, session.caller().id(), *id);
        }
    }
    let rooms = rooms_of(socket);
    if !rooms.is_empty() {
        let connected = Connected { socket: socket.clone(), session: std::sync::Arc::clone(session) };
        tokio::spawn(look_again(desk.clone(), connected, rooms));
    }
}
