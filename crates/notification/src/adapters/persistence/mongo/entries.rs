//! The inbox: appending, reading.

use contracts::event::EventHead;
use contracts::event_data::{InboxAppended, event_type};
use contracts::ids::UserId;
use contracts::{Event, IdGenerator, Timestamp};
use futures::TryStreamExt as _;
use messaging::mongo::{Bulk, Writing};
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{StoreError, date, integer, moment, unsigned};
use super::{ENTRIES, HEADS, MongoStore, NOTIFICATIONS};
use crate::application::Cause;
use crate::domain::inbox::{InboxEntry, InboxEvent, InboxPage, UnreadData};
use crate::domain::notification::to_json;

/// Most bytes of data in one page, so that it stays well below the 4 MiB that gRPC receivers take.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The head of an inbox. What is absent was written by an earlier build.
#[derive(Default, Serialize, Deserialize)]
struct Head {
    #[serde(rename = "_id")]
    user_id: String,
    #[serde(default)]
    seq: i64,
    /// How many notifications are unread.
    #[serde(default)]
    unread: Option<i64>,
    /// Of the newest event in the log.
    #[serde(default)]
    position: i64,
}

/// What is appended to an inbox, and by what.
pub(super) struct Addition<'a> {
    pub(super) user_id: UserId,
    /// How many entries.
    pub(super) entries: usize,
    /// How many more notifications are unread after it; fewer, if negative.
    pub(super) unread: i64,
    pub(super) now: Timestamp,
    pub(super) cause: &'a Cause,
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
    unread: u64,
    first_position: i64,
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

    /// Tells how many are unread now.
    pub(super) fn append_unread(&mut self) -> Result<(), StoreError> {
        let (data, id) = (to_json(&UnreadData { count: self.unread }), format!("{}/unread", self.ids.new_uuid()));
        self.append(InboxEvent::NotificationUnread, data, id)
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
    /// Takes the inbox for the transaction, as its first write: nobody else appends to it until the end. Makes room for as many
    /// entries as are announced.
    pub(super) async fn appender<'a>(
        &'a self,
        writing: &mut Writing<'_>,
        addition: Addition<'a>,
    ) -> Result<Appender<'a>, StoreError> {
        let Addition { user_id, entries, unread, now, cause } = addition;
        let id = user_id.to_string();
        let first_position = if entries == 0 { 0 } else { writing.take_positions(entries).await? };
        let count = i64::try_from(entries).unwrap_or(i64::MAX);
        let seq = doc! { "$ifNull": ["$seq", 0_i64] };
        let nothing_yet = doc! { "$eq": [&seq, 0_i64] };
        let mut change = doc! {
            "seq": { "$add": [seq, count] },
            // Null where it is not known yet.
            "unread": { "$cond": [nothing_yet, unread, { "$add": ["$unread", unread] }] },
        };
        if entries > 0 {
            change.insert("position", first_position + count - 1);
        }
        let heads = self.collection::<Head>(HEADS);
        let session = writing.begin().await?;
        let taken = heads.find_one_and_update(doc! { "_id": &id }, vec![doc! { "$set": change }]).upsert(true);
        let before = taken.return_document(ReturnDocument::Before).session(session).await?;
        let before = before.unwrap_or_else(|| Head { unread: Some(0), ..Head::default() });
        if entries > 0 && before.position >= first_position {
            return Err(writing.overtaken(before.position).into());
        }
        let unread = match before.unread {
            _ if before.seq == 0 => unread,
            Some(before) => before + unread,
            None => {
                // The head was written by an earlier build; from now on it knows.
                let session = writing.session()?;
                let unread = unread + self.count_unread_in(session, user_id).await?;
                let known = doc! { "$set": { "unread": unread } };
                heads.update_one(doc! { "_id": &id }, known).session(session).await?;
                unread
            }
        };
        Ok(Appender {
            ids: self.ids.as_ref(),
            user_id,
            now,
            cause,
            head: unsigned(before.seq, HEADS, &id)?,
            unread: u64::try_from(unread).unwrap_or(0),
            first_position,
            entries: Vec::new(),
            events: Vec::new(),
        })
    }

    async fn count_unread_in(&self, session: &mut ClientSession, user_id: UserId) -> Result<i64, StoreError> {
        let unread = doc! { "user_id": user_id.to_string(), "unread": true };
        let count = self.collection::<Document>(NOTIFICATIONS).count_documents(unread).session(session).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Writes what was appended, with the rest of the transaction. Its events are not logged: the entries are their log.
    pub(super) async fn write_entries(
        &self,
        writing: &mut Writing<'_>,
        mut bulk: Bulk,
        appender: Appender<'_>,
    ) -> Result<(), StoreError> {
        let entries = self.collection::<EntryDocument>(ENTRIES);
        for entry in &appender.entries {
            bulk.insert(&entries, entry)?;
        }
        writing.announce_at(&mut bulk, appender.first_position, appender.events)?;
        Ok(writing.bulk(bulk).await?)
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
