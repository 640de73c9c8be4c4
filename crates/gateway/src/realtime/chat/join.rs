//! `join:room`: the user becomes a member where they may, and the socket hears what is said from then on.

use std::collections::BTreeMap;

use contracts::grpc::notification::{
    GetRoomRequest, JoinRoomRequest, ListMembersRequest, ListMessagesRequest, ListMessagesResponse,
    ListUnreadCountsRequest,
};
use contracts::ids::{ChatRoomId, UserId};
use contracts::{Reason, Refusal};
use serde::Serialize;
use serde_json::json;
use socketio::Socket;

use super::arguments::RoomArgument;
use super::{is_in, membership, room, rooms_of, tell, tell_only};
use crate::clients::call;
use crate::realtime::call::{Asker, Call};
use crate::shapes::chat::{ChatMember, ChatMessage, ChatRoom};

/// Messages of the history that come with the room.
const HISTORY: u32 = 50;
/// Items on a page of a list, the most there may be.
const PAGE: u32 = 100;
/// Pages that are read of a list: a room has more members than an acknowledgement should hold.
const PAGES: usize = 10;

/// What a client that joined is told.
#[derive(Debug, Serialize)]
pub struct Joined {
    room: ChatRoom,
    /// By user id, the first thousand.
    members: Vec<ChatMember>,
    /// How far each of them has read, by user id.
    read_positions: BTreeMap<String, Position>,
    /// Messages of others that the user has not read.
    unread: u64,
    last_seq: u64,
    #[serde(skip)]
    history: Vec<ChatMessage>,
    #[serde(skip)]
    newcomer: Option<(ChatRoomId, UserId)>,
}

#[derive(Debug, Serialize)]
struct Position {
    message_id: Option<String>,
    seq: u64,
}

/// `join:room` id.
pub async fn join(call: Call<RoomArgument>) {
    call.answer_then(let_in, welcome).await;
}

/// The socket joins before the history is read: what is said meanwhile comes twice rather than not at all. And who is
/// not a member any more by then is refused the history, so that no membership that ends in between is overlooked.
async fn let_in(asker: Asker, argument: RoomArgument) -> Result<Joined, Refusal> {
    let id = argument.id()?;
    let (socket, user) = (&asker.socket, asker.caller.id());
    let was_in = is_in(socket, id);
    let joined = async {
        let request = asker.caller.request(JoinRoomRequest { room_id: id.to_string() })?;
        call("chat.JoinRoom", asker.desk.clients.chat().join_room(request)).await?;
        socket.join(room(id));
        if !is_in(socket, id) {
            return Err(Refusal::new(Reason::TooManyAttempts, "the socket is in as many rooms as it may be"));
        }
        describe(&asker, id).await
    };
    match joined.await {
        Ok(joined) => Ok(Joined { newcomer: (!was_in).then_some((id, user)), ..joined }),
        Err(refusal) => {
            if !was_in {
                socket.leave(room(id));
            } else if membership::has_ended(&refusal) {
                membership::end(&asker.desk, socket, user, id);
            }
            Err(refusal)
        }
    }
}

/// After the acknowledgement: the history to the client, and word of it to the others.
fn welcome(socket: &Socket, joined: Joined) {
    tell_only(socket, "room:history", &joined.history);
    if let Some((id, user)) = joined.newcomer {
        tell(&socket.to(room(id)), "user:joined", &json!({ "user_id": user, "room_id": id }));
    }
}

/// The client is back, although it was said to have left.
pub fn back(socket: &Socket, user: UserId) {
    for id in rooms_of(socket) {
        tell(&socket.to(room(id)), "user:joined", &json!({ "user_id": user, "room_id": id }));
    }
}

async fn describe(asker: &Asker, id: ChatRoomId) -> Result<Joined, Refusal> {
    let request = asker.caller.request(GetRoomRequest { room_id: id.to_string() })?;
    let mut client = asker.desk.clients.chat();
    let described = call("chat.GetRoom", client.get_room(request));
    let (described, members, page) = futures::try_join!(described, members(asker, id), history(asker, id))?;
    let own_id = asker.caller.id().to_string();
    let read_seq = members.iter().find(|member| member.user_id == own_id).map(|member| member.read_seq);
    let unread = match read_seq.and_then(|read_seq| unread_of(&page, read_seq, &own_id)) {
        Some(unread) => unread,
        None => counted_unread(asker, id).await?,
    };
    let position = |member: &ChatMember| Position { message_id: member.read_message_id.clone(), seq: member.read_seq };
    Ok(Joined {
        room: described.into(),
        read_positions: members.iter().map(|member| (member.user_id.clone(), position(member))).collect(),
        members,
        unread,
        last_seq: page.last_seq,
        history: page.items.into_iter().map(ChatMessage::from).collect(),
        newcomer: None,
    })
}

async fn members(asker: &Asker, id: ChatRoomId) -> Result<Vec<ChatMember>, Refusal> {
    let mut members = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PAGES {
        let request = asker.caller.request(ListMembersRequest { room_id: id.to_string(), limit: PAGE, cursor })?;
        let page = call("chat.ListMembers", asker.desk.clients.chat().list_members(request)).await?;
        members.extend(page.items.into_iter().map(ChatMember::from));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    Ok(members)
}

async fn history(asker: &Asker, id: ChatRoomId) -> Result<ListMessagesResponse, Refusal> {
    let newest = ListMessagesRequest { room_id: id.to_string(), before: None, after: None, limit: HISTORY };
    call("chat.ListMessages", asker.desk.clients.chat().list_messages(asker.caller.request(newest)?)).await
}

/// What is unread, where the history goes back as far as the user has read.
fn unread_of(page: &ListMessagesResponse, read_seq: u64, own_id: &str) -> Option<u64> {
    let first = page.items.first().map_or(0, |message| message.seq);
    let unread = page.items.iter().filter(|message| message.seq > read_seq && message.user_id != own_id);
    (!page.has_more || first <= read_seq.saturating_add(1)).then(|| unread.count().try_into().unwrap_or(u64::MAX))
}

/// What notification counts; none for a room so old among so many that it is not found.
async fn counted_unread(asker: &Asker, id: ChatRoomId) -> Result<u64, Refusal> {
    let room_id = id.to_string();
    let mut cursor = String::new();
    for _ in 0..PAGES {
        let request = asker.caller.request(ListUnreadCountsRequest { limit: PAGE, cursor })?;
        let page = call("chat.ListUnreadCounts", asker.desk.clients.chat().list_unread_counts(request)).await?;
        if let Some(unread) = page.items.iter().find(|unread| unread.room_id == room_id) {
            return Ok(unread.count);
        }
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use contracts::grpc::notification;

    use super::*;

    fn page(seqs: std::ops::RangeInclusive<u64>, has_more: bool) -> ListMessagesResponse {
        let said = |seq| notification::ChatMessage {
            seq,
            user_id: if seq % 2 == 0 { "me" } else { "you" }.to_owned(),
            ..Default::default()
        };
        ListMessagesResponse { last_seq: *seqs.end(), items: seqs.map(said).collect(), has_more }
    }

    #[test]
    fn what_is_unread_is_counted_in_a_history_that_goes_back_far_enough() {
        assert_eq!(unread_of(&page(1..=6, false), 0, "me"), Some(3));
        assert_eq!(unread_of(&page(5..=10, true), 4, "me"), Some(3));
        assert_eq!(unread_of(&page(5..=10, true), 10, "me"), Some(0));
        assert_eq!(unread_of(&page(5..=10, true), 3, "me"), None);
        assert_eq!(unread_of(&ListMessagesResponse::default(), 0, "me"), Some(0));
    }
}
