//! `message:send`: stores a message. The room hears of it from the bus ([`super::push`]).

use contracts::Refusal;
use contracts::grpc::notification::PostMessageRequest;

use super::arguments::Said;
use super::{expect_in, membership, typing};
use crate::clients::call;
use crate::realtime::call::{Asker, Call};
use crate::shapes::chat::{ChatMessage, posted};

/// `message:send` {room_id, content, client_id?}: the answer is the stored message, also when it had been stored before by
/// the same `client_id`.
pub async fn send(call: Call<Said>) {
    call.answer(say).await;
}

async fn say(asker: Asker, said: Said) -> Result<ChatMessage, Refusal> {
    // Asked for before the first await, so that messages queue up in the order in which they came.
    let _in_turn = asker.session.saying.lock().await;
    let id = said.room_id()?;
    expect_in(&asker.socket, id)?;
    asker.desk.chat.limits.messages.take(asker.caller.id(), asker.desk.clock.now())?;
    typing::end_of_user(&asker.desk.chat, asker.caller.id(), id);
    let request = PostMessageRequest { room_id: id.to_string(), content: said.content, client_id: said.client_id };
    let request = asker.caller.request(request)?;
    let answer = call("chat.PostMessage", asker.desk.clients.chat().post_message(request)).await;
    let answer = answer.inspect_err(|refusal| membership::heed(&asker, id, refusal))?;
    Ok(posted(answer)?.0)
}
