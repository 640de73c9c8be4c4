//! Rooms of the stand-in for the chat that remember: who is in them, what was said, how far was read. Whatever changes is told
//! on the bus, as notification does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use contracts::event::{Event, EventHead};
use contracts::event_data::{ChatMemberEvent, ChatMessageCreated, event_type};
use contracts::grpc::notification::mark_room_read_request::UpTo;
use contracts::grpc::notification::*;
use contracts::ids::{UserId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, IdGenerator as _, Reason, Refusal};
use messaging::EventBus;
use serde::Serialize;

/// See the module; clones share it.
#[derive(Clone)]
pub(crate) struct Rooms {
    bus: Arc<dyn EventBus>,
    clock: ManualClock,
    rooms: Arc<Mutex<HashMap<String, Room>>>,
}

#[derive(Default)]
struct Room {
    is_public: bool,
    /// With how far they have read.
    members: BTreeMap<String, u64>,
    messages: Vec<ChatMessage>,
    version: u64,
}

fn not_a_member(room: &Room) -> Refusal {
    let reason = if room.is_public { Reason::NotAMember } else { Reason::ChatRoomNotFound };
    Refusal::new(reason, reason.title())
}

impl Room {
    fn expect(&self, user: &str) -> Result<u64, Refusal> {
        self.members.get(user).copied().ok_or_else(|| not_a_member(self))
    }

    fn member(&self, user: &str, read_seq: u64) -> ChatMember {
        let read = self.messages.iter().find(|message| message.seq == read_seq);
        let read_message_id = read.map(|message| message.id.clone());
        ChatMember { user_id: user.to_owned(), joined_at_unix_ms: 0, read_seq, read_message_id }
    }

    fn last_seq(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.seq)
    }

    fn unread(&self, user: &str) -> u64 {
        let read = self.members[user];
        self.messages.iter().filter(|message| message.seq > read && message.user_id != user).count() as u64
    }
}

impl Rooms {
    pub(crate) fn new(bus: Arc<dyn EventBus>, clock: ManualClock) -> Self {
        Self { bus, clock, rooms: Arc::default() }
    }

    /// A new room with these members; its id.
    pub(crate) fn open(&self, is_public: bool, members: &[UserId]) -> String {
        let id = UuidV7Generator.new_uuid().to_string();
        let members = members.iter().map(|user| (user.to_string(), 0)).collect();
        self.rooms.lock().unwrap().insert(id.clone(), Room { is_public, members, ..Room::default() });
        id
    }

    /// Whether the room is one of those that remember.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.rooms.lock().unwrap().contains_key(id)
    }

    fn with<T>(&self, id: &str, work: impl FnOnce(&mut Room) -> Result<T, Refusal>) -> Result<T, Refusal> {
        work(self.rooms.lock().unwrap().get_mut(id).expect("the room is known"))
    }

    async fn publish(&self, event_type: &'static str, room_id: &str, data: &impl Serialize) {
        let aggregate_version = self
            .with(room_id, |room| {
                room.version += 1;
                Ok(room.version)
            })
            .unwrap();
        let head = EventHead {
            id: UuidV7Generator.new_uuid(),
            service: "notification",
            event_type,
            subject: room_id.to_owned(),
            time: self.clock.now(),
            aggregate_version,
            traceparent: None,
            request_id: None,
        };
        self.bus.publish(&[Event::new(head, data).unwrap()]).await.unwrap();
    }

    /// Tells the bus of a message, once more if it did.
    pub(crate) async fn tell(&self, message: &ChatMessage) {
        let created = ChatMessageCreated {
            id: message.id.parse().unwrap(),
            room_id: message.room_id.parse().unwrap(),
            seq: message.seq,
            user_id: message.user_id.parse().unwrap(),
            content: message.content.clone(),
            client_id: message.client_id.clone(),
            created_at: contracts::Timestamp::from_unix_ms(message.created_at_unix_ms),
        };
        self.publish(event_type::CHAT_MESSAGE_CREATED, &message.room_id, &created).await;
    }

    pub(crate) fn messages(&self, id: &str) -> Vec<ChatMessage> {
        self.rooms.lock().unwrap()[id].messages.clone()
    }

    pub(crate) fn get(&self, id: &str, user: &str) -> Result<ChatRoom, Refusal> {
        self.with(id, |room| {
            if !room.is_public {
                room.expect(user)?;
            }
            let visibility = if room.is_public { "public" } else { "private" };
            let (id, name, visibility) = (id.to_owned(), "Tea talk".to_owned(), visibility.to_owned());
            Ok(ChatRoom { id, name, visibility, order_id: None, created_at_unix_ms: 0 })
        })
    }

    pub(crate) async fn join(&self, id: &str, user: &str) -> Result<ChatMember, Refusal> {
        let (member, is_new) = self.with(id, |room| {
            let is_new = !room.members.contains_key(user);
            if is_new && !room.is_public {
                return Err(not_a_member(room));
            }
            let last = room.last_seq();
            let read = *room.members.entry(user.to_owned()).or_insert(last);
            Ok((room.member(user, read), is_new))
        })?;
        if is_new {
            self.tell_member(event_type::CHAT_MEMBER_JOINED, id, user).await;
        }
        Ok(member)
    }

    pub(crate) async fn leave(&self, id: &str, user: &str) {
        if self.with(id, |room| Ok(room.members.remove(user))).unwrap().is_some() {
            self.tell_member(event_type::CHAT_MEMBER_LEFT, id, user).await;
        }
    }

    /// The membership ends, and nobody is told.
    pub(crate) fn forget(&self, id: &str, user: UserId) {
        self.rooms.lock().unwrap().get_mut(id).unwrap().members.remove(&user.to_string());
    }

    /// Tells the bus that a membership ended.
    pub(crate) async fn tell_left(&self, id: &str, user: UserId) {
        self.tell_member(event_type::CHAT_MEMBER_LEFT, id, &user.to_string()).await;
    }

    async fn tell_member(&self, event_type: &'static str, id: &str, user: &str) {
        let event = ChatMemberEvent { room_id: id.parse().unwrap(), user_id: user.parse().unwrap() };
        self.publish(event_type, id, &event).await;
    }

    pub(crate) fn members(&self, id: &str, user: &str) -> Result<ListMembersResponse, Refusal> {
        self.with(id, |room| {
            room.expect(user)?;
            let items = room.members.iter().map(|(user, read)| room.member(user, *read)).collect();
            Ok(ListMembersResponse { items, next_cursor: String::new() })
        })
    }

    pub(crate) async fn post(&self, request: PostMessageRequest, user: &str) -> Result<PostMessageResponse, Refusal> {
        let PostMessageRequest { room_id, content, client_id } = request;
        let (message, repeated_send) = self.with(&room_id, |room| {
            room.expect(user)?;
            if content.is_empty() || content.chars().count() > 4000 {
                return Err(Refusal::invalid("/content", "must be 1 to 4000 characters"));
            }
            let same = |message: &&ChatMessage| message.user_id == user && message.client_id == client_id;
            if let Some(stored) = room.messages.iter().find(same).filter(|_| client_id.is_some()) {
                return Ok((stored.clone(), true));
            }
            let message = ChatMessage {
                id: UuidV7Generator.new_uuid().to_string(),
                room_id: room_id.clone(),
                seq: room.last_seq() + 1,
                user_id: user.to_owned(),
                content,
                client_id,
                created_at_unix_ms: self.clock.now().unix_ms(),
            };
            room.messages.push(message.clone());
            Ok((message, false))
        })?;
        if !repeated_send {
            self.tell(&message).await;
        }
        Ok(PostMessageResponse { message: Some(message), repeated_send })
    }

    /// The newest messages: there is nothing before or after in these rooms.
    pub(crate) fn list(&self, request: &ListMessagesRequest, user: &str) -> Result<ListMessagesResponse, Refusal> {
        self.with(&request.room_id, |room| {
            room.expect(user)?;
            let limit = usize::try_from(request.limit).unwrap();
            let skipped = room.messages.len().saturating_sub(limit);
            let items = room.messages[skipped..].to_vec();
            Ok(ListMessagesResponse { items, has_more: skipped > 0, last_seq: room.last_seq() })
        })
    }

    pub(crate) fn mark_read(&self, request: MarkRoomReadRequest, user: &str) -> Result<ReadPosition, Refusal> {
        let MarkRoomReadRequest { room_id, up_to } = request;
        self.with(&room_id, |room| {
            let before = room.expect(user)?;
            let found = room.messages.iter().find(|message| match &up_to {
                Some(UpTo::Seq(seq)) => message.seq == *seq,
                Some(UpTo::MessageId(id)) => message.id == *id,
                None => false,
            });
            let missing = || Refusal::new(Reason::ChatMessageNotFound, Reason::ChatMessageNotFound.title());
            let read_seq = found.ok_or_else(missing)?.seq.max(before);
            room.members.insert(user.to_owned(), read_seq);
            let ChatMember { read_message_id, .. } = room.member(user, read_seq);
            Ok(ReadPosition {
                room_id: room_id.clone(),
                read_seq,
                read_message_id,
                unread: room.unread(user),
                moved: read_seq > before,
            })
        })
    }

    pub(crate) fn unread_counts(&self, user: &str) -> Vec<UnreadCount> {
        let rooms = self.rooms.lock().unwrap();
        let joined = rooms.iter().filter(|(_, room)| room.members.contains_key(user));
        let count = |(id, room): (&String, &Room)| UnreadCount {
            room_id: id.clone(),
            count: room.unread(user),
            read_seq: room.members[user],
            last_seq: room.last_seq(),
        };
        joined.map(count).collect()
    }
}
