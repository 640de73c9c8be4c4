//! The inbox: appending, reading.

use contracts::event::EventHead;
use contracts::event_data::{InboxAppended, event_type};
use contracts::ids::UserId;
use contracts::{Event, IdGenerator, Timestamp};
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{StoreError, date, integer, moment, unsigned};
use super::{ENTRIES, HEADS, MongoStore};
use crate::application::Cause;
use crate::domain::inbox::{InboxEntry, InboxEvent, InboxPage};

/// Most bytes of data in one page, so that it stays well below the 4 MiB that gRPC receivers take.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "_id")]
    user_id: String,
    seq: i64,
}

#[derive(Serialize, Deserialize)]
struct EntryDocument {
    user_id: String,
    seq: i64,
    event: String,
    data: String,
    event_id: String,
    created_at: DateTime,
}

/// What one transaction appends to one inbox, whose head it holds.
pub(super) struct Appender<'a> {
    ids: &'a dyn IdGenerator,
    pub(super) user_id: UserId,
    pub(super) now: Timestamp,
    pub(super) cause: &'a Cause,
    head: u64,
    entries: Vec<EntryDocument>,
    events: Vec<Event>,
}

impl Appender<'_> {
    /// The position that the next entry will have.
    pub(super) fn next_seq(&self) -> u64 {
        self.head + 1
    }

    /// Appends an entry at [`Self::next_seq`], and its event.
    pub(super) fn append(&mut self, event: InboxEvent, data: String, event_id: String) -> Result<(), StoreError> {
        let data = self.cause.named_in(data);
        let seq = self.next_seq();
        let published =
            self.published(seq, event, data.clone()).map_err(|_| StoreError::corrupt(ENTRIES, &event_id))?;
        self.events.push(published);
        self.entries.push(EntryDocument {
            user_id: self.user_id.to_string(),
            seq: integer(seq),
            event: event.as_str().to_owned(),
            data,
            event_id,
            created_at: date(self.now),
        });
        self.head = seq;
        Ok(())
    }

    fn published(&self, seq: u64, event: InboxEvent, data: String) -> Result<Event, serde_json::Error> {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "notification",
            event_type: event_type::INBOX_APPENDED,
            subject: self.user_id.to_string(),
            time: self.now,
            aggregate_version: seq,
            traceparent: self.cause.traceparent.clone(),
            request_id: self.cause.request_id.clone(),
        };
        let data = RawValue::from_string(data)?;
        Event::new(head, &InboxAppended { user_id: self.user_id, seq, event: event.as_str().to_owned(), data })
    }
}

impl MongoStore {
    /// Takes the inbox for the transaction: nobody else appends to it until the end.
    pub(super) async fn appender<'a>(
        &'a self,
        session: &mut ClientSession,
        user_id: UserId,
        now: Timestamp,
        cause: &'a Cause,
    ) -> Result<Appender<'a>, StoreError> {
        let id = user_id.to_string();
        let head = self
            .collection::<Head>(HEADS)
            .find_one_and_update(doc! { "_id": &id }, doc! { "$inc": { "seq": 0_i64, "lock": 1_i64 } })
            .upsert(true)
            .return_document(ReturnDocument::After)
            .session(session)
            .await?;
        let head = unsigned(head.map_or(0, |head| head.seq), HEADS, &id)?;
        Ok(Appender { ids: self.ids.as_ref(), user_id, now, cause, head, entries: Vec::new(), events: Vec::new() })
    }

    /// Writes what was appended.
    pub(super) async fn write_entries(
        &self,
        writing: &mut Writing<'_>,
        appender: Appender<'_>,
    ) -> Result<(), StoreError> {
        if appender.entries.is_empty() {
            return Ok(());
        }
        let session = writing.session()?;
        self.collection::<EntryDocument>(ENTRIES).insert_many(appender.entries).session(&mut *session).await?;
        let this = doc! { "_id": appender.user_id.to_string() };
        let head = doc! { "$set": { "seq": integer(appender.head) } };
        self.collection::<Head>(HEADS).update_one(this, head).session(session).await?;
        Ok(writing.append(&appender.events).await?)
    }

    /// The newest position; 0 for an empty inbox.
    pub(super) async fn head_seq(&self, user_id: UserId) -> Result<u64, StoreError> {
        let id = user_id.to_string();
        let head = self.collection::<Head>(HEADS).find_one(doc! { "_id": &id }).await?;
        unsigned(head.map_or(0, |head| head.seq), HEADS, &id)
    }

    /// The head is read first: the entries up to it are what the inbox was in that moment.
    pub(super) async fn read_inbox(
        &self,
        user_id: UserId,
        after_seq: u64,
        limit: u32,
    ) -> Result<InboxPage, StoreError> {
        let id = user_id.to_string();
        let (head_seq, acked_seq) = tokio::try_join!(self.head_seq(user_id), self.acked_seq(user_id))?;
        let mut page = InboxPage { entries: Vec::new(), head_seq, acked_seq };
        if limit == 0 || after_seq >= head_seq {
            return Ok(page);
        }
        let range = doc! { "user_id": &id, "seq": { "$gt": integer(after_seq), "$lte": integer(head_seq) } };
        let entries = self.collection::<EntryDocument>(ENTRIES);
        let mut found = entries.find(range).sort(doc! { "seq": 1 }).limit(i64::from(limit)).await?;
        let mut bytes = 0;
        while let Some(entry) = found.try_next().await? {
            bytes += entry.data.len();
            if bytes > MAX_PAGE_BYTES && !page.entries.is_empty() {
                break;
            }
            let corrupt = || StoreError::corrupt(ENTRIES, format!("{id}/{}", entry.seq));
            page.entries.push(InboxEntry {
                seq: u64::try_from(entry.seq).map_err(|_| corrupt())?,
                event: InboxEvent::find(&entry.event).ok_or_else(corrupt)?,
                created_at: moment(entry.created_at),
                data: entry.data,
            });
        }
        Ok(page)
    }
}
