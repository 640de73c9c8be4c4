//! The chat. A change of a room counts an event in the room's document before it writes anything else: that keeps two
//! changes of one room apart, and the positions gapless.

mod members;
mod messages;
mod rooms;

use async_trait::async_trait;
use contracts::ids::{ChatRoomId, OrderId, UserId};
use mongodb::bson::doc;

use self::members::MemberDocument;
use super::error::StoreError;
use super::turns::in_transaction;
use super::{CHAT_MEMBERS, MongoStore};
use crate::application::chat::ports::{
    ChatRepository, History, Marked, MessageDraft, Occasion, Posted, ReadUpTo, RoomUnread,
};
use crate::application::ports::RepositoryError;
use crate::domain::chat::member::Member;
use crate::domain::chat::message::HistoryRange;
use crate::domain::chat::room::Room;

#[async_trait]
impl ChatRepository for MongoStore {
    async fn create_room(&self, room: Room, on: Occasion) -> Result<(), RepositoryError> {
        in_transaction!(self, "create chat room", room.id, |writing| self.try_create(&mut writing, &room, &on))
    }

    async fn open_support_room(&self, room: Room, visitor: UserId, on: Occasion) -> Result<Room, RepositoryError> {
        in_transaction!(self, "open support room", room.id, |writing| self.try_open_support(
            &mut writing,
            &room,
            visitor,
            &on
        ))
    }

    async fn find_order_owner(&self, order_id: OrderId) -> Result<Option<UserId>, RepositoryError> {
        Ok(self.database.within("find owner of order", self.order_owner(order_id)).await?)
    }

    async fn find_room(&self, room_id: ChatRoomId, user_id: UserId) -> Result<Option<(Room, bool)>, RepositoryError> {
        let find = async {
            let Some(room) = self.find_chat_room(room_id).await? else { return Ok(None) };
            let is_member = self.is_member(room_id, user_id).await?;
            Ok::<_, StoreError>(Some((room, is_member)))
        };
        Ok(self.database.within("find chat room", find).await?)
    }

    async fn list_rooms(
        &self,
        user_id: UserId,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<Room>, RepositoryError> {
        let list = self.read_rooms(user_id, joined_only, before, limit);
        Ok(self.database.within("list chat rooms", list).await?)
    }

    async fn add_member(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        by: Option<UserId>,
        on: Occasion,
    ) -> Result<Option<Member>, RepositoryError> {
        in_transaction!(self, "add chat member", room_id, |writing| self.try_add(
            &mut writing,
            room_id,
            user_id,
            by,
            &on
        ))
    }

    async fn remove_member(&self, room_id: ChatRoomId, user_id: UserId, on: Occasion) -> Result<bool, RepositoryError> {
        in_transaction!(self, "remove chat member", room_id, |writing| self.try_remove(
            &mut writing,
            room_id,
            user_id,
            &on
        ))
    }

    async fn list_members(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Vec<Member>>, RepositoryError> {
        let list = async {
            if !self.is_member(room_id, asker).await? {
                return Ok(None);
            }
            self.read_members(room_id, after, limit).await.map(Some)
        };
        Ok(self.database.within("list chat members", list).await?)
    }

    async fn post_message(&self, draft: MessageDraft, on: Occasion) -> Result<Posted, RepositoryError> {
        in_transaction!(self, "post chat message", draft.room_id, |writing| self.try_post(&mut writing, &draft, &on))
    }

    async fn list_messages(
        &self,
        room_id: ChatRoomId,
        asker: UserId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Option<History>, RepositoryError> {
        let list = async {
            if !self.is_member(room_id, asker).await? {
                return Ok(None);
            }
            self.read_history(room_id, range, limit).await.map(Some)
        };
        Ok(self.database.within("list chat messages", list).await?)
    }

    async fn mark_room_read(
        &self,
        room_id: ChatRoomId,
        user_id: UserId,
        up_to: ReadUpTo,
    ) -> Result<Marked, RepositoryError> {
        in_transaction!(self, "mark chat room read", room_id, |writing| self.try_mark(
            &mut writing,
            room_id,
            user_id,
            up_to
        ))
    }

    async fn list_unread(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<RoomUnread>, RepositoryError> {
        Ok(self.database.within("list unread of chat", self.read_unread(user_id, before, limit)).await?)
    }
}

impl MongoStore {
    async fn is_member(&self, room_id: ChatRoomId, user_id: UserId) -> Result<bool, StoreError> {
        let this = doc! { "_id": members::key(room_id, user_id) };
        Ok(self.collection::<MemberDocument>(CHAT_MEMBERS).find_one(this).await?.is_some())
    }
}
