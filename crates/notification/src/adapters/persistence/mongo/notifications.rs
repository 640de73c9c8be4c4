//! Notifications: reading, marking read. Also where the inbox port meets this adapter.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{NotificationId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, doc};
use serde::{Deserialize, Serialize};

use super::entries::Appender;
use super::error::{StoreError, date, integer, moment, parsed, unsigned};
use super::{MongoStore, NOTIFICATIONS};
use crate::application::Cause;
use crate::application::ports::{InboxRepository, OrderChange, Recorded, RepositoryError};
use crate::domain::inbox::{Acked, InboxEvent, InboxPage, ReadData, UnreadData};
use crate::domain::kind::NotificationKind;
use crate::domain::notification::{Notification, to_json};
use crate::domain::preference::Channels;

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
        let record = async {
            // Before the transaction, which others of this inbox have to wait for.
            let channels = match &change.notification {
                Some(draft) => self.channels_of(change.user_id, draft.kind).await?,
                None => Channels::default(),
            };
            let mut writing = self.database.write();
            loop {
                let outcome = self.write_order_change(&mut writing, change.clone(), channels).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("record order change", record).await?)
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
        let mark = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.mark_one(&mut writing, user_id, id, now, &cause).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("mark notification read", mark).await?)
    }

    async fn mark_all_read(&self, user_id: UserId, now: Timestamp, cause: Cause) -> Result<u64, RepositoryError> {
        let mark = async {
            let mut writing = self.database.write();
            loop {
                let outcome = self.mark_all(&mut writing, user_id, now, &cause).await;
                if let Some(done) = writing.settle(outcome).await {
                    return done;
                }
            }
        };
        Ok(self.database.within("mark notifications read", mark).await?)
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
        let session = writing.begin().await?;
        let this = doc! { "_id": id.to_string(), "user_id": user_id.to_string() };
        let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
        let Some(found) = notifications.find_one(this.clone()).session(&mut *session).await? else {
            return Ok(None);
        };
        let mut notification = found.into_notification()?;
        if notification.read_at.is_some() {
            return Ok(Some(notification));
        }
        let mut appender = self.appender(session, user_id, now, cause).await?;
        let read = doc! { "$set": { "unread": false, "read_at": date(now) } };
        notifications.update_one(this, read).session(&mut *session).await?;
        notification.read_at = Some(now);
        append_read(&mut appender, id)?;
        self.append_unread(session, &mut appender).await?;
        self.write_entries(writing, appender).await?;
        Ok(Some(notification))
    }

    async fn mark_all(
        &self,
        writing: &mut Writing<'_>,
        user_id: UserId,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<u64, StoreError> {
        let session = writing.begin().await?;
        let mut appender = self.appender(session, user_id, now, cause).await?;
        let unread = doc! { "user_id": user_id.to_string(), "unread": true };
        let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
        let mut found = notifications.find(unread.clone()).sort(doc! { "seq": 1 }).session(&mut *session).await?;
        let found: Vec<NotificationDocument> = found.stream(&mut *session).try_collect().await?;
        if found.is_empty() {
            return Ok(0);
        }
        let read = doc! { "$set": { "unread": false, "read_at": date(now) } };
        notifications.update_many(unread, read).session(&mut *session).await?;
        for notification in &found {
            append_read(&mut appender, parsed(&notification.id, NOTIFICATIONS, &notification.id)?)?;
        }
        self.append_unread(session, &mut appender).await?;
        self.write_entries(writing, appender).await?;
        Ok(found.len() as u64)
    }

    /// Tells how many are unread now.
    pub(super) async fn append_unread(
        &self,
        session: &mut ClientSession,
        appender: &mut Appender<'_>,
    ) -> Result<(), StoreError> {
        let unread = doc! { "user_id": appender.user_id.to_string(), "unread": true };
        let notifications = self.collection::<NotificationDocument>(NOTIFICATIONS);
        let count = notifications.count_documents(unread).session(session).await?;
        let entry_id = format!("{}/unread", self.ids.new_uuid());
        appender.append(InboxEvent::NotificationUnread, to_json(&UnreadData { count }), entry_id)
    }
}

/// A notification is read once: its id makes the entry unique.
fn append_read(appender: &mut Appender<'_>, id: NotificationId) -> Result<(), StoreError> {
    appender.append(InboxEvent::NotificationRead, to_json(&ReadData { id }), format!("{id}/read"))
}
