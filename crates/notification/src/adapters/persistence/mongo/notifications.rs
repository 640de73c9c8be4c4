//! Notifications: reading, marking read. Also where the inbox port meets this adapter.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{NotificationId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::{Bulk, Writing};
use mongodb::bson::{DateTime, doc};
use serde::{Deserialize, Serialize};

use super::entries::{Addition, Appender};
use super::error::{StoreError, date, integer, moment, parsed, unsigned};
use super::turns::in_transaction;
use super::{MongoStore, NOTIFICATIONS};
use crate::application::Cause;
use crate::application::ports::{InboxRepository, OrderChange, Recorded, RepositoryError};
use crate::domain::inbox::{Acked, InboxEvent, InboxPage, ReadData};
use crate::domain::kind::NotificationKind;
use crate::domain::notification::{Notification, to_json};

/// How many notifications one transaction marks read: each is an entry and an event, and others of the inbox wait for it.
const MARKED_AT_ONCE: usize = 200;

#[derive(Serialize, Deserialize)]
pub(super) struct NotificationDocument {
    #[serde(rename = "_id")]
    id: String,
    user_id: String,
    seq: i64,
    kind: String,
    title: String,
    body: String,
    order_id: String,
    /// The same as `read_at` being null, for the index of unread ones.
    unread: bool,
    read_at: Option<DateTime>,
    created_at: DateTime,
}

impl NotificationDocument {
    /// A notification of the user, unread.
    pub(super) fn of(notification: &Notification, user_id: UserId) -> Self {
        Self {
            id: notification.id.to_string(),
            user_id: user_id.to_string(),
            seq: integer(notification.seq),
            kind: notification.kind.as_str().to_owned(),
            title: notification.title.clone(),
            body: notification.body.clone(),
            order_id: notification.order_id.to_string(),
            unread: true,
            read_at: None,
            created_at: date(notification.created_at),
        }
    }

    fn into_notification(self) -> Result<Notification, StoreError> {
        let id = &self.id;
        Ok(Notification {
            id: parsed(id, NOTIFICATIONS, id)?,
            seq: unsigned(self.seq, NOTIFICATIONS, id)?,
            kind: NotificationKind::find(&self.kind).ok_or_else(|| StoreError::corrupt(NOTIFICATIONS, id))?,
            order_id: parsed(&self.order_id, NOTIFICATIONS, id)?,
            title: self.title,
            body: self.body,
            read_at: self.read_at.map(moment),
            created_at: moment(self.created_at),
        })
    }
}

#[async_trait]
impl InboxRepository for MongoStore {
    async fn record_order_change(&self, change: OrderChange) -> Result<Recorded, RepositoryError> {
        Ok(self.database.within("record order change", self.write_order_change(&change)).await?)
    }

    async fn list_inbox(&self, user_id: UserId, after_seq: u64, limit: u32) -> Result<InboxPage, RepositoryError> {
        Ok(self.database.within("list inbox", self.read_inbox(user_id, after_seq, limit)).await?)
    }

    async fn acknowledge(&self, user_id: UserId, seq: u64) -> Result<Acked, RepositoryError> {
        Ok(self.database.within("acknowledge inbox", self.write_ack(user_id, seq)).await?)
    }

    async fn list_notifications(
        &self,
        user_id: UserId,
        unread_only: bool,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Notification>, RepositoryError> {
        if limit == 0 {
            return Ok(Vec::new()); // To MongoDB it would mean: all.
        }
        let before = before_seq.map_or(i64::MAX, integer);
        let mut filter = doc! { "user_id": user_id.to_string(), "seq": { "$lt": before } };
        if unread_only {
            filter.insert("unread", true);
        }
        let list = async {
            let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
            let found = notifications.find(filter).sort(doc! { "seq": -1 }).limit(i64::from(limit)).await?;
            let found: Vec<NotificationDocument> = found.try_collect().await?;
            found.into_iter().map(NotificationDocument::into_notification).collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("list notifications", list).await?)
    }

    async fn count_unread(&self, user_id: UserId) -> Result<u64, RepositoryError> {
        let unread = doc! { "user_id": user_id.to_string(), "unread": true };
        let count = async {
            Ok::<_, StoreError>(self.collection::<NotificationDocument>(NOTIFICATIONS).count_documents(unread).await?)
        };
        Ok(self.database.within("count unread notifications", count).await?)
    }

    async fn mark_read(
        &self,
        user_id: UserId,
        id: NotificationId,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<Notification>, RepositoryError> {
        in_transaction!(self, "mark notification read", user_id, |writing| {
            self.mark_one(&mut writing, user_id, id, now, &cause)
        })
    }

    async fn mark_all_read(&self, user_id: UserId, now: Timestamp, cause: Cause) -> Result<u64, RepositoryError> {
        let mut marked = 0;
        loop {
            let some = self.mark_some(user_id, now, &cause).await?;
            marked += some;
            if some < MARKED_AT_ONCE as u64 {
                return Ok(marked);
            }
        }
    }
}

impl MongoStore {
    async fn mark_one(
        &self,
        writing: &mut Writing<'_>,
        user_id: UserId,
        id: NotificationId,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<Option<Notification>, StoreError> {
        let mut this = doc! { "_id": id.to_string(), "user_id": user_id.to_string() };
        let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
        let Some(found) = notifications.find_one(this.clone()).await? else { return Ok(None) };
        let mut notification = found.into_notification()?;
        if notification.read_at.is_some() {
            return Ok(Some(notification));
        }
        let read = Addition { user_id, entries: 2, unread: -1, now, cause };
        let mut appender = self.appender(writing, read).await?;
        this.insert("unread", true);
        let mut bulk = Bulk::new();
        bulk.update(&notifications, this, doc! { "$set": { "unread": false, "read_at": date(now) } });
        notification.read_at = Some(now);
        append_read(&mut appender, id)?;
        appender.append_unread()?;
        self.write_entries(writing, bulk, appender).await?;
        Ok(Some(notification))
    }

    /// Marks the oldest unread ones, no more than [`MARKED_AT_ONCE`], and says how many.
    async fn mark_some(&self, user_id: UserId, now: Timestamp, cause: &Cause) -> Result<u64, RepositoryError> {
        in_transaction!(self, "mark notifications read", user_id, |writing| {
            self.try_mark_some(&mut writing, user_id, now, cause)
        })
    }

    async fn try_mark_some(
        &self,
        writing: &mut Writing<'_>,
        user_id: UserId,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<u64, StoreError> {
        let unread = doc! { "user_id": user_id.to_string(), "unread": true };
        let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
        let found = notifications.find(unread).sort(doc! { "seq": 1 }).limit(MARKED_AT_ONCE as i64).await?;
        let found: Vec<NotificationDocument> = found.try_collect().await?;
        if found.is_empty() {
            return Ok(0);
        }
        let fewer = -i64::try_from(found.len()).unwrap_or(i64::MAX);
        let read = Addition { user_id, entries: found.len() + 1, unread: fewer, now, cause };
        let mut appender = self.appender(writing, read).await?;
        let mut bulk = Bulk::new();
        for notification in &found {
            let this = doc! { "_id": &notification.id, "unread": true };
            bulk.update(&notifications, this, doc! { "$set": { "unread": false, "read_at": date(now) } });
            append_read(&mut appender, parsed(&notification.id, NOTIFICATIONS, &notification.id)?)?;
        }
        appender.append_unread()?;
        self.write_entries(writing, bulk, appender).await?;
        Ok(found.len() as u64)
    }
}

/// A notification is read once: its id makes the entry unique.
fn append_read(appender: &mut Appender<'_>, id: NotificationId) -> Result<(), StoreError> {
    appender.append(InboxEvent::NotificationRead, to_json(&ReadData { id }), format!("{id}/read"))
}
