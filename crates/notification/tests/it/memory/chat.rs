//! The chat in memory: everything is counted by looking at every message.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::ids::{ChatRoomId, OrderId, UserId, UuidV7Generator};
use contracts::{Event, Timestamp};
use notification::application::chat::events::RoomEvents;
use notification::application::chat::ports::{
    ChatRepository, History, Marked, MessageDraft, Occasion, Posted, ReadPosition, ReadUpTo, RoomUnread,
};
use notification::application::ports::RepositoryError;
use notification::domain::chat::member::Member;
use notification::domain::chat::message::{ChatMessage, HistoryRange};
use notification::domain::chat::room::{Room, Visibility};

use super::InMemoryStore;

/// Rooms by id.
pub(super) type Rooms = BTreeMap<ChatRoomId, State>;

pub(super) struct State {
    room: Room,
    version: u64,
    /// Since when, and how far they have read.
    members: BTreeMap<UserId, (Timestamp, u64)>,
    messages: Vec<ChatMessage>,
}

impl State {
    fn new(room: Room) -> Self {
        Self { room, version: 0, members: BTreeMap::new(), messages: Vec::new() }
    }

    fn last_seq(&self) -> u64 {
        self.messages.len() as u64
    }

    fn unread(&self, user_id: UserId) -> u64 {
        let (_, read) = self.members[&user_id];
        self.messages.iter().filter(|one| one.seq > read && one.user_id != user_id).count() as u64
    }

    fn member(&self, user_id: UserId) -> Option<Member> {
        let (joined_at, read_seq) = *self.members.get(&user_id)?;
        let read_message_id = self.messages.iter().find(|one| one.seq == read_seq).map(|one| one.id);
        Some(Member { user_id, joined_at, read_seq, read_message_id })
    }

    fn join(&mut self, user_id: UserId, on: &Occasion, events: &mut Vec<Event>) {
        if self.members.contains_key(&user_id) {
            return;
        }
        self.members.insert(user_id, (on.now, self.last_seq()));
        self.version += 1;
        events.push(self.events(on).member_joined(self.version, user_id));
    }

    fn events<'a>(&self, on: &'a Occasion) -> RoomEvents<'a> {
        RoomEvents { ids: &UuidV7Generator, room_id: self.room.id, on }
    }
}

#[async_trait]
impl ChatRepository for InMemoryStore {
    async fn create_room(&self, room: Room, on: Occasion) -> Result<(), RepositoryError> {
        self.change(|tables| {
            if tables.rooms.contains_key(&room.id) {
                return Err(RepositoryError::Conflict);
            }
            let (id, owner) = (room.id, room.owner_id);
            tables.rooms.entry(id).or_insert(State::new(room)).join(owner, &on, &mut tables.events);
            Ok(())
        })
    }

    async fn open_support_room(&self, room: Room, visitor: UserId, on: Occasion) -> Result<Room, RepositoryError> {
        Ok(self.change(|tables| {
            let found = tables.rooms.values().find(|state| state.room.order_id == room.order_id);
            let id = found.map_or(room.id, |state| state.room.id);
            let state = tables.rooms.entry(id).or_insert(State::new(room));
            for user_id in [state.room.owner_id, visitor] {
                state.join(user_id, &on, &mut tables.events);
            }
            state.room.clone()
        }))
    }

    async fn find_order_owner(&self, order_id: OrderId) -> Result<Option<UserId>, RepositoryError> {
        Ok(self.tables.lock().unwrap().order_versions.get(&order_id).map(|(_, user_id)| *user_id))
    }

    async fn find_room(&self, room_id: ChatRoomId, user_id: UserId) -> Result<Option<(Room, bool)>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        Ok(tables.rooms.get(&room_id).map(|state| (state.room.clone(), state.members.contains_key(&user_id))))
    }

    async fn list_rooms(
        &self,
        user_id: UserId,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<Room>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let is_wanted = |state: &&State| {
            let is_shown = state.room.visibility == Visibility::Public && !joined_only;
            (is_shown || state.members.contains_key(&user_id)) && before.is_none_or(|before| state.room.id < before)
        };
        let wanted = tables.rooms.values().rev().filter(is_wanted);
        Ok(wanted.take(limit as usize).map(|state| state.room.clone()).collect())
    }

    async fn add_member(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        by: Option<UserId>,
        on: Occasion,
    ) -> Result<Option<Member>, RepositoryError> {
        Ok(self.change(|tables| {
            let state = tables.rooms.get_mut(&room_id)?;
            if by.is_some_and(|by| !state.members.contains_key(&by)) {
                return None;
            }
            state.join(user_id, &on, &mut tables.events);
            state.member(user_id)
        }))
    }

    async fn remove_member(&self, room_id: ChatRoomId, user_id: UserId, on: Occasion) -> Result<bool, RepositoryError> {
        Ok(self.change(|tables| {
            let Some(state) = tables.rooms.get_mut(&room_id) else { return false };
            let left = state.members.remove(&user_id).is_some();
            if left {
                state.version += 1;
                tables.events.push(state.events(&on).member_left(state.version, user_id));
            }
            left
        }))
    }

    async fn list_members(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Vec<Member>>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let state = tables.rooms.get(&room_id).filter(|state| state.members.contains_key(&asker));
        Ok(state.map(|state| {
            let page = state.members.keys().filter(|user_id| after.is_none_or(|after| **user_id > after));
            page.take(limit as usize).filter_map(|user_id| state.member(*user_id)).collect()
        }))
    }

    async fn post_message(&self, draft: MessageDraft, on: Occasion) -> Result<Posted, RepositoryError> {
        Ok(self.change(|tables| {
            let member = |state: &&mut State| state.members.contains_key(&draft.user_id);
            let Some(state) = tables.rooms.get_mut(&draft.room_id).filter(member) else {
                return Posted::NotAMember;
            };
            let client_id = draft.client_id.map(|client_id| client_id.as_str().to_owned());
            let same = |one: &&ChatMessage| one.user_id == draft.user_id && one.client_id == client_id;
            if client_id.is_some()
                && let Some(stored) = state.messages.iter().find(same)
            {
                return Posted::Repeated(stored.clone());
            }
            let message = ChatMessage {
                id: draft.id,
                room_id: draft.room_id,
                seq: state.last_seq() + 1,
                user_id: draft.user_id,
                content: draft.content.as_str().to_owned(),
                client_id,
                created_at: on.now,
            };
            if state.unread(draft.user_id) == 0 {
                state.members.get_mut(&draft.user_id).unwrap().1 = message.seq;
            }
            state.messages.push(message.clone());
            state.version += 1;
            tables.events.push(state.events(&on).message_created(state.version, &message));
            Posted::Stored(message)
        }))
    }

    async fn list_messages(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Option<History>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let state = tables.rooms.get(&room_id).filter(|state| state.members.contains_key(&asker));
        Ok(state.map(|state| {
            let is_wanted = |one: &&ChatMessage| match range {
                HistoryRange::Latest => true,
                HistoryRange::Before(seq) => one.seq < seq,
                HistoryRange::After(seq) => one.seq > seq,
            };
            let wanted: Vec<_> = state.messages.iter().filter(is_wanted).cloned().collect();
            let limit = limit as usize;
            let part = match range {
                HistoryRange::After(_) => &wanted[..limit.min(wanted.len())],
                _ => &wanted[wanted.len().saturating_sub(limit)..],
            };
            History { messages: part.to_vec(), last_seq: state.last_seq() }
        }))
    }

    async fn mark_room_read(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        up_to: ReadUpTo,
    ) -> Result<Marked, RepositoryError> {
        Ok(self.change(|tables| {
            let member = |state: &&mut State| state.members.contains_key(&user_id);
            let Some(state) = tables.rooms.get_mut(&room_id).filter(member) else { return Marked::NotAMember };
            let is_meant = |one: &&ChatMessage| match up_to {
                ReadUpTo::Seq(seq) => one.seq == seq,
                ReadUpTo::Message(id) => one.id == id,
            };
            let Some(seq) = state.messages.iter().find(is_meant).map(|one| one.seq) else {
                return Marked::NoSuchMessage;
            };
            let position = &mut state.members.get_mut(&user_id).unwrap().1;
            let moved = seq > *position;
            *position = seq.max(*position);
            let member = state.member(user_id).unwrap();
            Marked::At(ReadPosition {
                read_seq: member.read_seq,
                read_message_id: member.read_message_id,
                unread: state.unread(user_id),
                moved,
            })
        }))
    }

    async fn list_unread(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<RoomUnread>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let own = tables.rooms.iter().rev().filter(|(_, state)| state.members.contains_key(&user_id));
        let own = own.filter(|(id, _)| before.is_none_or(|before| **id < before)).take(limit as usize);
        let unread = own.map(|(id, state)| RoomUnread {
            room_id: *id,
            count: state.unread(user_id),
            read_seq: state.members[&user_id].1,
            last_seq: state.last_seq(),
        });
        Ok(unread.collect())
    }
}
