//! `message:read`: how far a member has read a room.

use contracts::Refusal;
use contracts::grpc::notification::ReadPosition;
use contracts::ids::{ChatRoomId, UserId};
use serde::Serialize;
use serde_json::{Value, json};
use socketio::Emitter;

use super::arguments::Read;
use super::{expect_in, membership, room, tell};
use crate::clients::call;
use crate::realtime::call::{Asker, Call};

/// How far somebody has read a room, as the room is told.
#[derive(Debug, Serialize)]
struct Update {
    room_id: ChatRoomId,
    user_id: UserId,
    message_id: Option<String>,
    seq: u64,
}

/// `message:read` {room_id, message_id} or {room_id, seq}.
pub async fn read(call: Call<Read>) {
    call.answer(mark).await;
}

async fn mark(asker: Asker, read: Read) -> Result<Value, Refusal> {
    let (id, up_to) = read.parts()?;
    expect_in(&asker.socket, id)?;
    let request = asker.caller.request(up_to.into_request(id)?)?;
    let position = call("chat.MarkRoomRead", asker.desk.clients.chat().mark_room_read(request)).await;
    let position = position.inspect_err(|refusal| membership::heed(&asker, id, refusal))?;
    tell_room(&asker.socket.everyone(), id, asker.caller.id(), &position);
    Ok(json!({
        "room_id": id,
        "read_seq": position.read_seq,
        "message_id": position.read_message_id,
        "unread": position.unread,
    }))
}

/// Tells all in the room, the other devices of the user among them, if the position moved.
pub fn tell_room(everyone: &Emitter, id: ChatRoomId, user: UserId, position: &ReadPosition) {
    if position.moved {
        let message_id = position.read_message_id.clone();
        let update = Update { room_id: id, user_id: user, message_id, seq: position.read_seq };
        tell(&everyone.clone().to(room(id)), "read:update", &update);
    }
}
