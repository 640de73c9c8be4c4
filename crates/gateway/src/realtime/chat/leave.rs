//! `leave:room`: the socket hears no more of a room; its user stays a member. `POST /api/chat/rooms/{id}/leave` ends the membership.

use contracts::ids::{ChatRoomId, UserId};
use serde_json::json;
use socketio::Socket;

use super::arguments::RoomArgument;
use super::{is_in, room, rooms_of, tell, typing};
use crate::realtime::call::Call;

/// `leave:room` id.
pub async fn leave(call: Call<RoomArgument>) {
    call.answer(|asker, argument| async move {
        let id = argument.id()?;
        let (socket, user) = (&asker.socket, asker.caller.id());
        if is_in(socket, id) {
            typing::end_of(&asker.desk.chat, socket, id);
            socket.leave(room(id));
            say_so(socket, user, id);
        }
        Ok(json!({ "room_id": id }))
    })
    .await;
}

/// The client is gone for good: the rooms that it was in hear of it.
pub fn left(socket: &Socket, user: UserId) {
    for id in rooms_of(socket) {
        say_so(socket, user, id);
    }
}

fn say_so(socket: &Socket, user: UserId, id: ChatRoomId) {
    tell(&socket.to(room(id)), "user:left", &json!({ "user_id": user, "room_id": id }));
}
