//! What is said in a room, and how far it was read.

use std::collections::HashMap;

use contracts::ids::{ChatRoomId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, doc};
use serde::{Deserialize, Serialize};

use super::super::error::{StoreError, date, integer, moment, parsed, unsigned};
use super::super::{CHAT_MESSAGES, MongoStore};
use crate::application::chat::events::RoomEvents;
use crate::application::chat::ports::{History, Marked, MessageDraft, Occasion, Posted, ReadPosition, ReadUpTo};
use crate::domain::chat::message::{ChatMessage, ClientId, HistoryRange};

#[derive(Serialize, Deserialize)]
struct MessageDocument {
    #[serde(rename = "_id")]
    id: String,
    room_id: String,
    seq: i64,
    user_id: String,
    content: String,
    client_id: Option<String>,
    /// The sender's own name for the message, else its id: unique for each room and sender.
    key: String,
    created_at: DateTime,
}

/// Where a message is.
#[derive(Deserialize, Serialize)]
pub(super) struct Position {
    #[serde(rename = "_id")]
    id: String,
    seq: i64,
}

impl Position {
    pub(super) fn into_pair(self) -> (i64, String) {
        (self.seq, self.id)
    }
}

fn key_of(client_id: &ClientId) -> String {
    format!("client:{}", client_id.as_str())
}

impl MessageDocument {
    fn of(message: &ChatMessage, client_id: Option<&ClientId>) -> Self {
        Self {
            id: message.id.to_string(),
            room_id: message.room_id.to_string(),
            seq: integer(message.seq),
            user_id: message.user_id.to_string(),
            content: message.content.clone(),
            client_id: message.client_id.clone(),
            key: client_id.map_or_else(|| format!("message:{}", message.id), key_of),
            created_at: date(message.created_at),
        }
    }

    fn into_message(self) -> Result<ChatMessage, StoreError> {
        let id = &self.id;
        Ok(ChatMessage {
            id: parsed(id, CHAT_MESSAGES, id)?,
            room_id: parsed(&self.room_id, CHAT_MESSAGES, id)?,
            seq: unsigned(self.seq, CHAT_MESSAGES, id)?,
            user_id: parsed(&self.user_id, CHAT_MESSAGES, id)?,
            created_at: moment(self.created_at),
            content: self.content,
            client_id: self.client_id,
        })
    }
}

impl MongoStore {
    pub(super) async fn try_post(
        &self,
        writing: &mut Writing<'_>,
        draft: &MessageDraft,
        on: &Occasion,
    ) -> Result<Posted, StoreError> {
        let (room_id, user_id) = (draft.room_id, draft.user_id);
        let session = writing.begin().await?;
        let Some(member) = self.find_member(session, room_id, user_id).await? else { return Ok(Posted::NotAMember) };
        let messages = self.collection::<MessageDocument>(CHAT_MESSAGES);
        if let Some(client_id) = &draft.client_id {
            let same =
                doc! { "room_id": room_id.to_string(), "user_id": user_id.to_string(), "key": key_of(client_id) };
            if let Some(stored) = messages.find_one(same).session(&mut *session).await? {
                return Ok(Posted::Repeated(stored.into_message()?));
            }
        }
        let Some(room) = self.count_event(session, room_id, 1).await? else { return Ok(Posted::NotAMember) };
        let message = ChatMessage {
            id: draft.id,
            room_id,
            seq: room.last_seq,
            user_id,
            content: draft.content.as_str().to_owned(),
            client_id: draft.client_id.as_ref().map(|client_id| client_id.as_str().to_owned()),
            created_at: on.now,
        };
        let document = MessageDocument::of(&message, draft.client_id.as_ref());
        messages.insert_one(document).session(&mut *session).await?;
        self.save_reading(session, room_id, user_id, member.reading()?.posted(message.seq)).await?;
        let event = RoomEvents { ids: self.ids.as_ref(), room_id, on }.message_created(room.version, &message);
        writing.append([event]).await?;
        Ok(Posted::Stored(message))
    }

    pub(super) async fn read_history(
        &self,
        room_id: ChatRoomId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<History, StoreError> {
        // Read first: the messages up to it are what the room was in that moment.
        let last_seq = self.last_seq(None, room_id).await?;
        if limit == 0 {
            return Ok(History { messages: Vec::new(), last_seq }); // To MongoDB it would mean: all.
        }
        // Positions greater than the first bound, less than the second; from which end.
        let (after, before, order) = match range {
            HistoryRange::Latest => (0, last_seq + 1, -1),
            HistoryRange::Before(seq) => (0, seq.min(last_seq + 1), -1),
            HistoryRange::After(seq) => (seq, last_seq + 1, 1),
        };
        let part = doc! { "room_id": room_id.to_string(), "seq": { "$gt": integer(after), "$lt": integer(before) } };
        let messages = self.collection::<MessageDocument>(CHAT_MESSAGES);
        let found = messages.find(part).sort(doc! { "seq": order }).limit(i64::from(limit)).await?;
        let found: Vec<MessageDocument> = found.try_collect().await?;
        let mut messages: Vec<_> =
            found.into_iter().map(MessageDocument::into_message).collect::<Result<_, StoreError>>()?;
        if order < 0 {
            messages.reverse();
        }
        Ok(History { messages, last_seq })
    }

    pub(super) async fn position_at(
        &self,
        session: &mut ClientSession,
        room_id: ChatRoomId,
        seq: i64,
    ) -> Result<Option<Position>, StoreError> {
        let this = doc! { "room_id": room_id.to_string(), "seq": seq };
        Ok(self.collection::<Position>(CHAT_MESSAGES).find_one(this).session(session).await?)
    }

    /// The ids of the messages at these positions.
    pub(super) async fn positions(
        &self,
        room_id: ChatRoomId,
        seqs: &[i64],
    ) -> Result<HashMap<i64, String>, StoreError> {
        let these = doc! { "room_id": room_id.to_string(), "seq": { "$in": seqs } };
        let messages = self.collection::<Position>(CHAT_MESSAGES);
        let found = messages.find(these).projection(doc! { "_id": 1, "seq": 1 }).await?;
        let found: Vec<Position> = found.try_collect().await?;
        Ok(found.into_iter().map(Position::into_pair).collect())
    }

    /// Writes the member's document if it moves the position: of two that come at once, one is run again.
    pub(super) async fn try_mark(
        &self,
        writing: &mut Writing<'_>,
        room_id: ChatRoomId,
        user_id: UserId,
        up_to: ReadUpTo,
    ) -> Result<Marked, StoreError> {
        let session = writing.begin().await?;
        let Some(member) = self.find_member(session, room_id, user_id).await? else { return Ok(Marked::NotAMember) };
        let mut reading = member.reading()?;
        let room = room_id.to_string();
        let this = match up_to {
            ReadUpTo::Seq(seq) => doc! { "room_id": &room, "seq": integer(seq) },
            ReadUpTo::Message(id) => doc! { "room_id": &room, "_id": id.to_string() },
        };
        let messages = self.collection::<Position>(CHAT_MESSAGES);
        let Some(found) = messages.find_one(this).session(&mut *session).await? else {
            return Ok(Marked::NoSuchMessage);
        };
        let seq = unsigned(found.seq, CHAT_MESSAGES, &found.id)?;
        // Without own messages after the old position there are none after a later one.
        let own_after = if reading.own_after() == 0 {
            0
        } else {
            let own = doc! { "room_id": &room, "seq": { "$gt": found.seq }, "user_id": user_id.to_string() };
            messages.count_documents(own).session(&mut *session).await?
        };
        let moved = reading.read_to(seq, own_after);
        if let Some(further) = moved {
            reading = further;
            self.save_reading(session, room_id, user_id, reading).await?;
        }
        let position = self.position_at(session, room_id, integer(reading.read_seq())).await?;
        let last_seq = self.last_seq(Some(session), room_id).await?;
        let read_message_id = position.map(|at| parsed(&at.id, CHAT_MESSAGES, &at.id)).transpose()?;
        Ok(Marked::At(ReadPosition {
            read_seq: reading.read_seq(),
            read_message_id,
            unread: reading.unread(last_seq),
            moved: moved.is_some(),
        }))
    }
}
