//! Who is typing. It ends by itself, with what was typed, and with the socket that said so; every change is told once, to who can
//! take it at once: it is of no use later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::ids::{ChatRoomId, UserId};
use serde_json::json;
use socketio::Socket;
use tokio::time::Instant;

use super::arguments::RoomArgument;
use super::{Chat, expect_in, room, tell};
use crate::realtime::call::Call;
use crate::realtime::session::room_of;

/// Who does not say so again within this time is typing no more.
const EXPIRES_AFTER: Duration = Duration::from_secs(6);

type Key = (ChatRoomId, UserId);

/// Who is typing, among the users of this gateway.
#[derive(Default)]
pub struct Typing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    turns: u64,
    typing: HashMap<Key, Turn>,
}

/// Somebody is typing.
struct Turn {
    /// Which time it is that anybody does.
    number: u64,
    until: Instant,
    /// The socket that said so last.
    socket: Socket,
}

impl Typing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody types, still or newly. The number of a new turn.
    fn begin(&self, key: Key, socket: &Socket) -> Option<u64> {
        let mut state = self.state();
        let until = Instant::now() + EXPIRES_AFTER;
        if let Some(turn) = state.typing.get_mut(&key) {
            turn.until = until;
            turn.socket = socket.clone();
            return None;
        }
        state.turns += 1;
        let number = state.turns;
        state.typing.insert(key, Turn { number, until, socket: socket.clone() });
        Some(number)
    }

    /// Ends the turn if there is one and `is_over` says so; the socket that is to tell of it.
    fn end_if(&self, key: Key, is_over: impl FnOnce(&Turn) -> bool) -> Option<Socket> {
        let mut state = self.state();
        if !is_over(state.typing.get(&key)?) {
            return None;
        }
        state.typing.remove(&key).map(|turn| turn.socket)
    }

    /// When this turn ends; none when it has.
    fn end_of(&self, key: Key, number: u64) -> Option<Instant> {
        self.state().typing.get(&key).filter(|turn| turn.number == number).map(|turn| turn.until)
    }

    /// What was said by this socket.
    fn of(&self, socket: &Socket) -> Vec<Key> {
        self.state().typing.iter().filter(|(_, turn)| turn.socket == *socket).map(|(key, _)| *key).collect()
    }
}

/// `typing:start` id.
pub async fn start(call: Call<RoomArgument>) {
    call.answer(|asker, argument| async move {
        let id = argument.id()?;
        let (socket, user) = (&asker.socket, asker.caller.id());
        expect_in(socket, id)?;
        let chat = &asker.desk.chat;
        chat.limits.typing.take(user, asker.desk.clock.now())?;
        if let Some(number) = chat.typing.begin((id, user), socket) {
            say_so(socket, (id, user), true);
            tokio::spawn(expire(Arc::clone(chat), (id, user), number));
        }
        Ok(json!({ "room_id": id }))
    })
    .await;
}

/// `typing:stop` id.
pub async fn stop(call: Call<RoomArgument>) {
    call.answer(|asker, argument| async move {
        let id = argument.id()?;
        expect_in(&asker.socket, id)?;
        end_of_user(&asker.desk.chat, asker.caller.id(), id);
        Ok(json!({ "room_id": id }))
    })
    .await;
}

/// A user is done, whichever socket of theirs typed.
pub fn end_of_user(chat: &Chat, user: UserId, id: ChatRoomId) {
    end_if(chat, (id, user), |_| true);
}

/// A socket leaves a room.
pub fn end_of(chat: &Chat, socket: &Socket, id: ChatRoomId) {
    for key in chat.typing.of(socket).into_iter().filter(|(room, _)| *room == id) {
        end_if(chat, key, |turn| turn.socket == *socket);
    }
}

/// A socket is gone.
pub fn end_of_all(chat: &Chat, socket: &Socket) {
    for key in chat.typing.of(socket) {
        end_if(chat, key, |turn| turn.socket == *socket);
    }
}

async fn expire(chat: Arc<Chat>, key: Key, number: u64) {
    while let Some(until) = chat.typing.end_of(key, number) {
        tokio::time::sleep_until(until).await;
        end_if(&chat, key, |turn| turn.number == number && turn.until <= Instant::now());
    }
}

fn end_if(chat: &Chat, key: Key, is_over: impl FnOnce(&Turn) -> bool) {
    if let Some(socket) = chat.typing.end_if(key, is_over) {
        say_so(&socket, key, false);
    }
}

fn say_so(socket: &Socket, (id, user): Key, is_typing: bool) {
    let update = json!({ "room_id": id, "user_id": user, "is_typing": is_typing });
    // Their own other devices need not be told.
    tell(&socket.to(room(id)).except(room_of(user)).volatile(), "typing:update", &update);
}
