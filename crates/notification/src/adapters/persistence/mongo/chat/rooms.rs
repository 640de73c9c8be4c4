//! Rooms.

use std::collections::HashMap;

use contracts::ids::{ChatRoomId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::super::error::{StoreError, date, moment, parsed, unsigned};
use super::super::{CHAT_MEMBERS, CHAT_ROOMS, MongoStore};
use super::members::MemberDocument;
use crate::application::chat::ports::{Occasion, RoomUnread};
use crate::domain::chat::room::{Room, Visibility};

#[derive(Serialize, Deserialize)]
pub(super) struct RoomDocument {
    #[serde(rename = "_id")]
    id: String,
    /// The order of a support room, the id of another one: unique, so that an order has one room.
    key: String,
    name: String,
    visibility: String,
    order_id: Option<String>,
    owner_id: String,
    created_at: DateTime,
    /// Of its newest message.
    last_seq: i64,
    /// Its events so far.
    version: i64,
}

/// A room's counters.
pub(super) struct Counters {
    pub(super) last_seq: u64,
    pub(super) version: u64,
}

/// The key of the order's room, or of the room itself.
fn key_of(room: &Room) -> String {
    room.order_id.map_or_else(|| format!("room:{}", room.id), |order_id| format!("order:{order_id}"))
}

impl RoomDocument {
    fn of(room: &Room) -> Self {
        Self {
            id: room.id.to_string(),
            key: key_of(room),
            name: room.name.clone(),
            visibility: room.visibility.as_str().to_owned(),
            order_id: room.order_id.map(|order_id| order_id.to_string()),
            owner_id: room.owner_id.to_string(),
            created_at: date(room.created_at),
            last_seq: 0,
            version: 0,
        }
    }

    fn counters(&self) -> Result<Counters, StoreError> {
        Ok(Counters {
            last_seq: unsigned(self.last_seq, CHAT_ROOMS, &self.id)?,
            version: unsigned(self.version, CHAT_ROOMS, &self.id)?,
        })
    }

    fn into_room(self) -> Result<Room, StoreError> {
        let id = &self.id;
        Ok(Room {
            id: parsed(id, CHAT_ROOMS, id)?,
            visibility: Visibility::find(&self.visibility).ok_or_else(|| StoreError::corrupt(CHAT_ROOMS, id))?,
            order_id: self.order_id.map(|order_id| parsed(&order_id, CHAT_ROOMS, id)).transpose()?,
            owner_id: parsed(&self.owner_id, CHAT_ROOMS, id)?,
            created_at: moment(self.created_at),
            name: self.name,
        })
    }
}

impl MongoStore {
    pub(super) async fn find_chat_room(&self, room_id: ChatRoomId) -> Result<Option<Room>, StoreError> {
        let rooms = self.collection::<RoomDocument>(CHAT_ROOMS);
        let found = rooms.find_one(doc! { "_id": room_id.to_string() }).await?;
        found.map(RoomDocument::into_room).transpose()
    }

    pub(super) async fn try_create(
        &self,
        writing: &mut Writing<'_>,
        room: &Room,
        on: &Occasion,
    ) -> Result<(), StoreError> {
        let session = writing.begin().await?;
        self.collection(CHAT_ROOMS).insert_one(RoomDocument::of(room)).session(&mut *session).await?;
        let joined = self.join(session, room.id, room.owner_id, on).await?;
        Ok(writing.append(joined).await?)
    }

    pub(super) async fn try_open_support(
        &self,
        writing: &mut Writing<'_>,
        room: &Room,
        visitor: UserId,
        on: &Occasion,
    ) -> Result<Room, StoreError> {
        let session = writing.begin().await?;
        let rooms = self.collection::<RoomDocument>(CHAT_ROOMS);
        let room = match rooms.find_one(doc! { "key": key_of(room) }).session(&mut *session).await? {
            Some(found) => found.into_room()?,
            None => {
                rooms.insert_one(RoomDocument::of(room)).session(&mut *session).await?;
                room.clone()
            }
        };
        let mut joined = Vec::new();
        for user_id in [room.owner_id, visitor] {
            joined.extend(self.join(session, room.id, user_id, on).await?);
        }
        writing.append(joined).await?;
        Ok(room)
    }

    /// Counts one event more, and as many messages: from here on nobody else changes the room until the end of the transaction.
    /// `None` if there is no such room.
    pub(super) async fn count_event(
        &self,
        session: &mut ClientSession,
        room_id: ChatRoomId,
        messages: i64,
    ) -> Result<Option<Counters>, StoreError> {
        let room = self
            .collection::<RoomDocument>(CHAT_ROOMS)
            .find_one_and_update(
                doc! { "_id": room_id.to_string() },
                doc! { "$inc": { "version": 1_i64, "last_seq": messages } },
            )
            .return_document(ReturnDocument::After)
            .session(session)
            .await?;
        room.map(|room| room.counters()).transpose()
    }

    /// Position of the room's newest message; 0 without any.
    pub(super) async fn last_seq(
        &self,
        session: Option<&mut ClientSession>,
        room_id: ChatRoomId,
    ) -> Result<u64, StoreError> {
        let rooms = self.collection::<RoomDocument>(CHAT_ROOMS);
        let find = rooms.find_one(doc! { "_id": room_id.to_string() });
        let found = match session {
            Some(session) => find.session(session).await?,
            None => find.await?,
        };
        found.map_or(Ok(0), |room| room.counters().map(|counters| counters.last_seq))
    }

    pub(super) async fn read_rooms(
        &self,
        user_id: UserId,
        joined_only: bool,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<Room>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new()); // To MongoDB it would mean: all.
        }
        let own = self.memberships(user_id, before, limit).await?;
        let own: Vec<_> = own.into_iter().map(|member| member.room_id).collect();
        let mut found = self.rooms_by_id(&own).await?;
        if !joined_only {
            let mut public = below("_id", before);
            public.insert("visibility", Visibility::Public.as_str());
            let rooms = self.collection::<RoomDocument>(CHAT_ROOMS);
            let mut public = rooms.find(public).sort(doc! { "_id": -1 }).limit(i64::from(limit)).await?;
            while let Some(room) = public.try_next().await? {
                found.insert(room.id.clone(), room);
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by(|one, other| other.id.cmp(&one.id));
        found.truncate(limit as usize);
        found.into_iter().map(RoomDocument::into_room).collect()
    }

    pub(super) async fn read_unread(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<RoomUnread>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let own = self.memberships(user_id, before, limit).await?;
        let ids: Vec<_> = own.iter().map(|member| member.room_id.clone()).collect();
        let rooms = self.rooms_by_id(&ids).await?;
        let unread = |member: MemberDocument| {
            let room = rooms.get(&member.room_id).ok_or_else(|| StoreError::corrupt(CHAT_MEMBERS, &member.room_id))?;
            let last_seq = room.counters()?.last_seq;
            let reading = member.reading()?;
            Ok(RoomUnread {
                room_id: parsed(&member.room_id, CHAT_MEMBERS, &member.room_id)?,
                count: reading.unread(last_seq),
                read_seq: reading.read_seq(),
                last_seq,
            })
        };
        own.into_iter().map(unread).collect()
    }

    /// The user's memberships, the newest rooms first.
    async fn memberships(
        &self,
        user_id: UserId,
        before: Option<ChatRoomId>,
        limit: u32,
    ) -> Result<Vec<MemberDocument>, StoreError> {
        let mut own = below("room_id", before);
        own.insert("user_id", user_id.to_string());
        let members = self.collection::<MemberDocument>(CHAT_MEMBERS);
        let found = members.find(own).sort(doc! { "room_id": -1 }).limit(i64::from(limit)).await?;
        Ok(found.try_collect().await?)
    }

    async fn rooms_by_id(&self, ids: &[String]) -> Result<HashMap<String, RoomDocument>, StoreError> {
        let rooms = self.collection::<RoomDocument>(CHAT_ROOMS);
        let mut found = rooms.find(doc! { "_id": { "$in": ids } }).await?;
        let mut by_id = HashMap::new();
        while let Some(room) = found.try_next().await? {
            by_id.insert(room.id.clone(), room);
        }
        Ok(by_id)
    }
}

fn below(field: &str, before: Option<ChatRoomId>) -> Document {
    before.map_or_else(Document::new, |before| doc! { field: { "$lt": before.to_string() } })
}
