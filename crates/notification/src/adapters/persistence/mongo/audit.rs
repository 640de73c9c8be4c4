//! What an audit reads of inboxes in MongoDB.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use contracts::audit::{Backlog, Page, Span};
use futures::TryStreamExt as _;
use messaging::mongo::{InvalidMongoUrl, MongoDatabase, backlog};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::FindOptions;
use serde::Deserialize;

use super::error::{StoreError, moment, parsed, unsigned};
use super::orders::MutedOutcome;
use super::{DEFAULT_NAME, ENTRIES, HEADS, MUTED, NOTIFICATIONS};
use crate::application::audit::{InboxFacts, NoticeFacts, NotificationAudit};
use crate::application::ports::RepositoryError;

#[derive(Deserialize)]
struct Notice {
    #[serde(rename = "_id")]
    id: String,
    order_id: String,
    user_id: String,
    seq: i64,
    kind: String,
    created_at: DateTime,
}

#[derive(Deserialize)]
struct Entry {
    user_id: String,
    seq: i64,
    data: String,
}

#[derive(Deserialize)]
struct HasId {
    id: String,
}

/// Which entry is where: whose inbox, and whether it carries a notification.
#[derive(Deserialize)]
struct Position {
    user_id: String,
    seq: i64,
    event: String,
}

#[derive(Deserialize)]
struct Owner {
    user_id: String,
    seq: i64,
}

/// [`NotificationAudit`] of one database.
pub struct MongoNotificationAudit(MongoDatabase);

impl MongoNotificationAudit {
    /// The database of this address; it is asked nothing yet, and never made ready: no collection or index is made.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str) -> Result<Self, InvalidMongoUrl> {
        Ok(Self(MongoDatabase::open(url, DEFAULT_NAME, Vec::new()).await?))
    }

    async fn notices(&self, span: Span, limit: usize) -> Result<Vec<NoticeFacts>, StoreError> {
        let range = doc! { "order_id": { "$gt": span.after.to_string(), "$lte": span.until.to_string() } };
        let fields = doc! { "order_id": 1, "user_id": 1, "seq": 1, "kind": 1, "created_at": 1 };
        let options = FindOptions::builder()
            .sort(doc! { "order_id": 1, "kind": 1 })
            .limit(limit as i64)
            .projection(fields)
            .build();
        let found = self.0.collection::<Notice>(NOTIFICATIONS).find(range.clone()).with_options(options).await?;
        let notices: Vec<Notice> = found.try_collect().await?;
        let carried = self.carried(&notices).await?;
        let facts = |notice: Notice| {
            let Notice { id, order_id, user_id, kind, created_at, .. } = notice;
            Ok(NoticeFacts {
                order_id: parsed(&order_id, NOTIFICATIONS, &id)?,
                user_id: parsed(&user_id, NOTIFICATIONS, &id)?,
                kind,
                created_at: moment(created_at),
                is_in_inbox: carried.contains(&id),
                is_muted: false,
            })
        };
        let mut facts: Vec<NoticeFacts> = notices.into_iter().map(facts).collect::<Result<_, StoreError>>()?;
        facts.extend(self.muted(range, limit).await?);
        facts.sort_by(|one, other| (one.order_id, &one.kind).cmp(&(other.order_id, &other.kind)));
        facts.truncate(limit);
        Ok(facts)
    }

    /// The outcomes of these orders that were left out at the user's wish.
    async fn muted(&self, orders: Document, limit: usize) -> Result<Vec<NoticeFacts>, StoreError> {
        let muted = self.0.collection::<MutedOutcome>(MUTED);
        let found = muted.find(orders).sort(doc! { "order_id": 1, "kind": 1 }).limit(limit as i64).await?;
        let found: Vec<MutedOutcome> = found.try_collect().await?;
        let facts = |outcome: MutedOutcome| {
            let MutedOutcome { order_id, kind, user_id, created_at } = outcome;
            Ok(NoticeFacts {
                user_id: parsed(&user_id, MUTED, &order_id)?,
                order_id: parsed(&order_id, MUTED, &order_id)?,
                kind,
                created_at: moment(created_at),
                is_in_inbox: false,
                is_muted: true,
            })
        };
        found.into_iter().map(facts).collect()
    }

    /// The ids of those notifications that their inboxes carry where they say.
    async fn carried(&self, notices: &[Notice]) -> Result<HashSet<String>, StoreError> {
        let mut positions: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for notice in notices {
            positions.entry(&notice.user_id).or_default().push(notice.seq);
        }
        let expected: HashMap<(&str, i64), &str> =
            notices.iter().map(|notice| ((notice.user_id.as_str(), notice.seq), notice.id.as_str())).collect();
        let mut carried = HashSet::new();
        for (user_id, seqs) in &positions {
            let at = doc! { "user_id": user_id, "seq": { "$in": seqs }, "event": "notification" };
            let fields = doc! { "_id": 0, "user_id": 1, "seq": 1, "data": 1 };
            let mut found = self.0.collection::<Entry>(ENTRIES).find(at).projection(fields).await?;
            while let Some(entry) = found.try_next().await? {
                let Ok(data) = serde_json::from_str::<HasId>(&entry.data) else { continue };
                if expected.get(&(entry.user_id.as_str(), entry.seq)) == Some(&data.id.as_str()) {
                    carried.insert(data.id);
                }
            }
        }
        Ok(carried)
    }

    /// By the documents that count positions: what each says was true in that moment, and all that came later is left out, so
    /// that an inbox in use adds up. One without such a document lies between two others and is found with them.
    async fn inboxes(&self, span: Span, limit: usize) -> Result<Page<InboxFacts>, StoreError> {
        let range = doc! { "_id": { "$gt": span.after.to_string(), "$lte": span.until.to_string() } };
        let heads = self.0.collection::<Document>(HEADS);
        let found = heads.find(range).sort(doc! { "_id": 1 }).limit(limit as i64).projection(doc! { "seq": 1 }).await?;
        let heads: Vec<Document> = found.try_collect().await?;
        let last = heads.last().filter(|_| heads.len() >= limit).and_then(|head| head.get_str("_id").ok());
        let until = last.map_or(Ok(span.until), |id| parsed(id, HEADS, id))?;
        let of_users = doc! { "user_id": { "$gt": span.after.to_string(), "$lte": until.to_string() } };

        let mut inboxes: BTreeMap<String, InboxFacts> = BTreeMap::new();
        let mut seqs: HashMap<String, i64> = HashMap::new();
        for head in &heads {
            let (user_id, seq) = (head.get_str("_id").unwrap_or_default(), head.get_i64("seq").unwrap_or(0));
            inbox_of(&mut inboxes, user_id)?.last_seq = unsigned(seq, HEADS, user_id)?;
            seqs.insert(user_id.to_owned(), seq);
        }
        let is_later = |user_id: &str, seq: i64| seqs.get(user_id).is_some_and(|head| seq > *head);
        let by_user = doc! { "user_id": 1, "seq": 1 };
        let mut notices = self
            .0
            .collection::<Owner>(NOTIFICATIONS)
            .find(of_users.clone())
            .projection(doc! { "_id": 0, "user_id": 1, "seq": 1 })
            .await?;
        while let Some(notice) = notices.try_next().await? {
            if is_later(&notice.user_id, notice.seq) {
                continue;
            }
            inbox_of(&mut inboxes, &notice.user_id)?.notifications += 1;
        }
        let mut entries = self
            .0
            .collection::<Position>(ENTRIES)
            .find(of_users)
            .sort(by_user)
            .projection(doc! { "_id": 0, "user_id": 1, "seq": 1, "event": 1 })
            .await?;
        while let Some(entry) = entries.try_next().await? {
            if is_later(&entry.user_id, entry.seq) {
                continue;
            }
            let seq = unsigned(entry.seq, ENTRIES, &entry.user_id)?;
            let inbox = inbox_of(&mut inboxes, &entry.user_id)?;
            inbox.entries += 1;
            inbox.first_seq = if inbox.first_seq == 0 { seq } else { inbox.first_seq.min(seq) };
            inbox.last_seq = inbox.last_seq.max(seq);
            inbox.notification_entries += u64::from(entry.event == "notification");
        }
        Ok(Page { items: inboxes.into_values().collect(), complete_to: until })
    }
}

/// The numbers of this user's inbox, none of them counted yet if it is new.
fn inbox_of<'a>(
    inboxes: &'a mut BTreeMap<String, InboxFacts>,
    user_id: &str,
) -> Result<&'a mut InboxFacts, StoreError> {
    let empty = InboxFacts {
        user_id: parsed(user_id, HEADS, user_id)?,
        entries: 0,
        first_seq: 0,
        last_seq: 0,
        notification_entries: 0,
        notifications: 0,
    };
    Ok(inboxes.entry(user_id.to_owned()).or_insert(empty))
}

#[async_trait]
impl NotificationAudit for MongoNotificationAudit {
    async fn list_notices(&self, span: Span, limit: usize) -> Result<Page<NoticeFacts>, RepositoryError> {
        let notices = self.0.look(self.notices(span, limit)).await?;
        Ok(Page::of_groups(notices, span, limit, |notice| notice.order_id.as_uuid()))
    }

    async fn list_inboxes(&self, span: Span, limit: usize) -> Result<Page<InboxFacts>, RepositoryError> {
        // One inbox may be long: users are few to a page.
        Ok(self.0.look(self.inboxes(span, limit.min(64))).await?)
    }

    async fn backlog(&self) -> Result<Backlog, RepositoryError> {
        Ok(backlog(&self.0).await.map_err(StoreError::from)?)
    }
}
