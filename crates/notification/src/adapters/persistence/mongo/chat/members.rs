//! Who is in a room.

use std::collections::HashMap;

use contracts::Event;
use contracts::ids::{ChatRoomId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, doc};
use serde::{Deserialize, Serialize};

use super::super::error::{StoreError, date, integer, moment, parsed, unsigned};
use super::super::{CHAT_MEMBERS, CHAT_MESSAGES, MongoStore};
use super::messages::Position;
use crate::application::chat::events::RoomEvents;
use crate::application::chat::ports::Occasion;
use crate::domain::chat::member::{Member, Reading};

#[derive(Serialize, Deserialize)]
pub(super) struct MemberDocument {
    /// `<room>/<user>`.
    #[serde(rename = "_id")]
    key: String,
    pub(super) room_id: String,
    user_id: String,
    joined_at: DateTime,
    read_seq: i64,
    /// Messages of their own after `read_seq`.
    own_after: i64,
}

/// Whose membership of which room.
pub(super) fn key(room_id: ChatRoomId, user_id: UserId) -> String {
    format!("{room_id}/{user_id}")
}

impl MemberDocument {
    pub(super) fn reading(&self) -> Result<Reading, StoreError> {
        let number = |number| unsigned(number, CHAT_MEMBERS, &self.key);
        Ok(Reading::stored(number(self.read_seq)?, number(self.own_after)?))
    }

    fn into_member(self, read: &HashMap<i64, String>) -> Result<Member, StoreError> {
        let read_message_id = read.get(&self.read_seq);
        Ok(Member {
            user_id: parsed(&self.user_id, CHAT_MEMBERS, &self.key)?,
            joined_at: moment(self.joined_at),
            read_seq: unsigned(self.read_seq, CHAT_MEMBERS, &self.key)?,
            read_message_id: read_message_id.map(|id| parsed(id, CHAT_MESSAGES, id)).transpose()?,
        })
    }
}

impl MongoStore {
    pub(super) async fn find_member(
        &self,
        session: &mut ClientSession,
        room_id: ChatRoomId,
        user_id: UserId,
    ) -> Result<Option<MemberDocument>, StoreError> {
        let this = doc! { "_id": key(room_id, user_id) };
        Ok(self.collection::<MemberDocument>(CHAT_MEMBERS).find_one(this).session(session).await?)
    }

    /// Makes the user a member unless they are one; the event, if they were none and there is such a room.
    pub(super) async fn join(
        &self,
        session: &mut ClientSession,
        room_id: ChatRoomId,
        user_id: UserId,
        on: &Occasion,
    ) -> Result<Option<Event>, StoreError> {
        if self.find_member(session, room_id, user_id).await?.is_some() {
            return Ok(None);
        }
        let Some(room) = self.count_event(session, room_id, 0).await? else { return Ok(None) };
        let reading = Reading::joined_at(room.last_seq);
        let member = MemberDocument {
            key: key(room_id, user_id),
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            joined_at: date(on.now),
            read_seq: integer(reading.read_seq()),
            own_after: integer(reading.own_after()),
        };
        self.collection(CHAT_MEMBERS).insert_one(member).session(session).await?;
        Ok(Some(RoomEvents { ids: self.ids.as_ref(), room_id, on }.member_joined(room.version, user_id)))
    }

    pub(super) async fn try_add(
        &self,
        writing: &mut Writing<'_>,
        room_id: ChatRoomId,
        user_id: UserId,
        by: Option<UserId>,
        on: &Occasion,
    ) -> Result<Option<Member>, StoreError> {
        let session = writing.begin().await?;
        if let Some(by) = by
            && self.find_member(session, room_id, by).await?.is_none()
        {
            return Ok(None);
        }
        let joined = self.join(session, room_id, user_id, on).await?;
        // Nobody, if there is no such room.
        let Some(member) = self.find_member(session, room_id, user_id).await? else { return Ok(None) };
        let position = self.position_at(session, room_id, member.read_seq).await?;
        let member = member.into_member(&position.map(Position::into_pair).into_iter().collect())?;
        writing.append(joined).await?;
        Ok(Some(member))
    }

    pub(super) async fn try_remove(
        &self,
        writing: &mut Writing<'_>,
        room_id: ChatRoomId,
        user_id: UserId,
        on: &Occasion,
    ) -> Result<bool, StoreError> {
        let session = writing.begin().await?;
        if self.find_member(session, room_id, user_id).await?.is_none() {
            return Ok(false);
        }
        let Some(room) = self.count_event(session, room_id, 0).await? else { return Ok(false) };
        let this = doc! { "_id": key(room_id, user_id) };
        self.collection::<MemberDocument>(CHAT_MEMBERS).delete_one(this).session(session).await?;
        let left = RoomEvents { ids: self.ids.as_ref(), room_id, on }.member_left(room.version, user_id);
        writing.append([left]).await?;
        Ok(true)
    }

    pub(super) async fn save_reading(
        &self,
        session: &mut ClientSession,
        room_id: ChatRoomId,
        user_id: UserId,
        reading: Reading,
    ) -> Result<(), StoreError> {
        let this = doc! { "_id": key(room_id, user_id) };
        let (read_seq, own_after) = (integer(reading.read_seq()), integer(reading.own_after()));
        let position = doc! { "$set": { "read_seq": read_seq, "own_after": own_after } };
        self.collection::<MemberDocument>(CHAT_MEMBERS).update_one(this, position).session(session).await?;
        Ok(())
    }

    pub(super) async fn read_members(
        &self,
        room_id: ChatRoomId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new()); // To MongoDB it would mean: all.
        }
        let mut page = doc! { "room_id": room_id.to_string() };
        if let Some(after) = after {
            page.insert("user_id", doc! { "$gt": after.to_string() });
        }
        let members = self.collection::<MemberDocument>(CHAT_MEMBERS);
        let found = members.find(page).sort(doc! { "user_id": 1 }).limit(i64::from(limit)).await?;
        let found: Vec<MemberDocument> = found.try_collect().await?;
        let seqs: Vec<_> = found.iter().map(|member| member.read_seq).collect();
        let read = self.positions(room_id, &seqs).await?;
        found.into_iter().map(|member| member.into_member(&read)).collect()
    }
}
