//! The chat. Writes of a file come one after the other, so that a room's counters need no other protection.

mod members;
mod messages;
mod rooms;

use async_trait::async_trait;
use contracts::ids::{ChatRoomId, OrderId, UserId};

use super::SqliteStore;
use super::error::SqliteError;
use crate::application::chat::ports::{
    ChatRepository, History, Marked, MessageDraft, Occasion, Posted, ReadUpTo, RoomUnread,
};
use crate::application::ports::RepositoryError;
use crate::domain::chat::member::Member;
use crate::domain::chat::message::HistoryRange;
use crate::domain::chat::room::Room;

const ROOMS: &str = "chat_rooms";
const MEMBERS: &str = "chat_members";
const MESSAGES: &str = "chat_messages";

#[async_trait]
impl ChatRepository for SqliteStore {
    async fn create_room(&self, room: Room, on: Occasion) -> Result<(), RepositoryError> {
        let ids = self.ids.clone();
        let created = self.outbox.write("create chat room", move |connection| {
            rooms::insert(connection, &room)?;
            members::join(connection, ids.as_ref(), room.id, room.owner_id, &on)?;
            Ok::<_, SqliteError>(())
        });
        Ok(created.await?)
    }

    async fn open_support_room(&self, room: Room, visitor: UserId, on: Occasion) -> Result<Room, RepositoryError> {
        let ids = self.ids.clone();
        let opened = self.outbox.write("open support room", move |connection| {
            let room = rooms::find_or_insert_support(connection, room)?;
            for user_id in [room.owner_id, visitor] {
                members::join(connection, ids.as_ref(), room.id, user_id, &on)?;
            }
            Ok::<_, SqliteError>(room)
        });
        Ok(opened.await?)
    }

    async fn find_order_owner(&self, order_id: OrderId) -> Result<Option<UserId>, RepositoryError> {
        let found =
            self.database.read("find owner of order", move |connection| rooms::order_owner(connection, order_id));
        Ok(found.await?)
    }

    async fn find_room(&self, room_id: ChatRoomId, user_id: UserId) -> Result<Option<(Room, bool)>, RepositoryError> {
        let found = self.database.read("find chat room", move |connection| {
            let Some(room) = rooms::find(connection, room_id)? else { return Ok(None) };
            let is_member = members::reading(connection, room_id, user_id)?.is_some();
            Ok::<_, SqliteError>(Some((room, is_member)))
        });
        Ok(found.await?)
    }

    async fn list_rooms(
        &self,
        user_id: UserId,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<Room>, RepositoryError> {
        let found = self
            .database
            .read("list chat rooms", move |connection| rooms::list(connection, user_id, joined_only, before, limit));
        Ok(found.await?)
    }

    async fn add_member(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        by: Option<UserId>,
        on: Occasion,
    ) -> Result<Option<Member>, RepositoryError> {
        let ids = self.ids.clone();
        let added = self.outbox.write("add chat member", move |connection| {
            if let Some(by) = by
                && members::reading(connection, room_id, by)?.is_none()
            {
                return Ok(None);
            }
            if rooms::find(connection, room_id)?.is_none() {
                return Ok(None);
            }
            members::join(connection, ids.as_ref(), room_id, user_id, &on)?;
            members::find(connection, room_id, user_id)
        });
        Ok(added.await?)
    }

    async fn remove_member(&self, room_id: ChatRoomId, user_id: UserId, on: Occasion) -> Result<bool, RepositoryError> {
        let ids = self.ids.clone();
        let removed = self.outbox.write("remove chat member", move |connection| {
            members::leave(connection, ids.as_ref(), room_id, user_id, &on)
        });
        Ok(removed.await?)
    }

    async fn list_members(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Vec<Member>>, RepositoryError> {
        let found = self.database.read("list chat members", move |connection| {
            if members::reading(connection, room_id, asker)?.is_none() {
                return Ok(None);
            }
            members::list(connection, room_id, after, limit).map(Some)
        });
        Ok(found.await?)
    }

    async fn post_message(&self, draft: MessageDraft, on: Occasion) -> Result<Posted, RepositoryError> {
        let ids = self.ids.clone();
        let posted = self
            .outbox
            .write("post chat message", move |connection| messages::post(connection, ids.as_ref(), &draft, &on));
        Ok(posted.await?)
    }

    async fn list_messages(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Option<History>, RepositoryError> {
        let found = self.database.read("list chat messages", move |connection| {
            if members::reading(connection, room_id, asker)?.is_none() {
                return Ok(None);
            }
            messages::list(connection, room_id, range, limit).map(Some)
        });
        Ok(found.await?)
    }

    async fn mark_room_read(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        up_to: ReadUpTo,
    ) -> Result<Marked, RepositoryError> {
        let marked = self
            .database
            .write("mark chat room read", move |connection| messages::mark_read(connection, room_id, user_id, up_to));
        Ok(marked.await?)
    }

    async fn list_unread(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<RoomUnread>, RepositoryError> {
        let found = self
            .database
            .read("list unread of chat", move |connection| rooms::unread(connection, user_id, before, limit));
        Ok(found.await?)
    }
}
