//! Emails on their way out, and what is forgotten.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::NotificationId;
use futures::TryStreamExt as _;
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::entries::Appender;
use super::error::{StoreError, date, moment, parsed};
use super::{EMAILS, MongoStore};
use crate::application::ports::{EmailQueue, Housekeeping, RepositoryError};
use crate::domain::email::QueuedEmail;
use crate::domain::email_content::EmailContent;
use crate::domain::notification::Notification;

#[derive(Serialize, Deserialize)]
pub(super) struct EmailDocument {
    #[serde(rename = "_id")]
    notification_id: String,
    user_id: String,
    subject: String,
    body: String,
    /// Absent in documents of earlier builds.
    #[serde(default)]
    html: Option<String>,
    request_id: Option<String>,
    traceparent: Option<String>,
    created_at: DateTime,
    /// That failed.
    attempts: i64,
    /// Neither sent nor given up.
    waiting: bool,
    /// The end of the lease while it is claimed.
    next_attempt_at: DateTime,
    /// The last claim of it.
    #[serde(default)]
    claim: Option<String>,
    sent_at: Option<DateTime>,
}

impl EmailDocument {
    /// An email that is due now.
    pub(super) fn queued(notification: &Notification, appender: &Appender<'_>, content: EmailContent) -> Self {
        Self {
            notification_id: notification.id.to_string(),
            user_id: appender.user_id.to_string(),
            subject: notification.title.clone(),
            body: content.text,
            html: content.html,
            request_id: appender.cause.request_id.clone(),
            traceparent: appender.cause.traceparent.clone(),
            created_at: date(appender.now),
            attempts: 0,
            waiting: true,
            next_attempt_at: date(appender.now),
            claim: None,
            sent_at: None,
        }
    }

    fn into_email(self) -> Result<QueuedEmail, StoreError> {
        let id = &self.notification_id;
        Ok(QueuedEmail {
            notification_id: parsed(id, EMAILS, id)?,
            user_id: parsed(&self.user_id, EMAILS, id)?,
            failures: u32::try_from(self.attempts).map_err(|_| StoreError::corrupt(EMAILS, id))?,
            created_at: moment(self.created_at),
            subject: self.subject,
            content: EmailContent { text: self.body, html: self.html },
            request_id: self.request_id,
            traceparent: self.traceparent,
        })
    }
}

/// An email unless it was sent or given up.
fn waiting(id: NotificationId) -> Document {
    doc! { "_id": id.to_string(), "waiting": true }
}

impl MongoStore {
    async fn update_emails(&self, which: Document, change: Document) -> Result<(), RepositoryError> {
        let update = async {
            self.collection::<Document>(EMAILS).update_many(which, change).await?;
            Ok::<_, StoreError>(())
        };
        Ok(self.database.within("update emails", update).await?)
    }
}

#[async_trait]
impl EmailQueue for MongoStore {
    async fn claim_due(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<QueuedEmail>, RepositoryError> {
        if limit == 0 {
            return Ok(Vec::new()); // To MongoDB it would mean: all.
        }
        let claim = self.ids.new_uuid().to_string();
        let claiming = async {
            let due = doc! { "waiting": true, "next_attempt_at": { "$lte": date(now) } };
            let emails = self.collection::<EmailDocument>(EMAILS);
            let found = emails.find(due.clone()).sort(doc! { "next_attempt_at": 1 }).limit(i64::from(limit)).await?;
            let mut found: Vec<EmailDocument> = found.try_collect().await?;
            let ids: Vec<&str> = found.iter().map(|email| email.notification_id.as_str()).collect();
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            // Each document is changed as one, and by one: what another replica has claimed since is due no more.
            let mut still_due = due;
            still_due.insert("_id", doc! { "$in": &ids });
            let taken = doc! { "$set": { "next_attempt_at": date(lease_until), "claim": &claim } };
            let taken = emails.update_many(still_due, taken).await?.modified_count;
            if taken < ids.len() as u64 {
                let claimed = doc! { "_id": { "$in": &ids }, "claim": &claim };
                let order = doc! { "created_at": 1, "_id": 1 };
                found = emails.find(claimed).sort(order).await?.try_collect().await?;
            }
            found.into_iter().map(EmailDocument::into_email).collect::<Result<_, StoreError>>()
        };
        Ok(self.database.within("claim due emails", claiming).await?)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let next = async {
            let emails = self.collection::<EmailDocument>(EMAILS);
            let first = emails.find_one(doc! { "waiting": true }).sort(doc! { "next_attempt_at": 1 }).await?;
            Ok::<_, StoreError>(first.map(|email| moment(email.next_attempt_at)))
        };
        Ok(self.database.within("next due email", next).await?)
    }

    async fn mark_sent(&self, ids: &[NotificationId], at: Timestamp) -> Result<(), RepositoryError> {
        let ids: Vec<String> = ids.iter().map(NotificationId::to_string).collect();
        let sent = doc! { "$set": { "waiting": false, "sent_at": date(at) } };
        self.update_emails(doc! { "_id": { "$in": ids } }, sent).await
    }

    async fn mark_failed(&self, id: NotificationId, next_attempt_at: Timestamp) -> Result<(), RepositoryError> {
        let later = doc! { "next_attempt_at": date(next_attempt_at) };
        self.update_emails(waiting(id), doc! { "$inc": { "attempts": 1_i64 }, "$set": later }).await
    }

    async fn mark_given_up(&self, id: NotificationId) -> Result<(), RepositoryError> {
        self.update_emails(waiting(id), doc! { "$inc": { "attempts": 1_i64 }, "$set": { "waiting": false } }).await
    }
}

#[async_trait]
impl Housekeeping for MongoStore {
    async fn forget_before(&self, moment: Timestamp) -> Result<(), RepositoryError> {
        let forget = async {
            let done = doc! { "waiting": false, "created_at": { "$lt": date(moment) } };
            self.collection::<Document>(EMAILS).delete_many(done).await?;
            Ok::<_, StoreError>(())
        };
        Ok(self.database.within("forget emails", forget).await?)
    }
}
