//! An order's event becomes entries, a notification, an email and `inbox.appended` events, or nothing, in one transaction.

use contracts::ids::{OrderId, UserId};
use messaging::mongo::Writing;
use mongodb::ClientSession;
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::emails::EmailDocument;
use super::entries::Appender;
use super::error::{StoreError, date, integer, parsed, unsigned};
use super::notifications::NotificationDocument;
use super::{CONSUMER, EMAILS, MUTED, MongoStore, NOTIFICATIONS, ORDER_VERSIONS};
use crate::application::ports::{NotificationDraft, OrderChange, Recorded};
use crate::domain::inbox::InboxEvent;
use crate::domain::notification::Notification;
use crate::domain::ordering::{Ruling, rule};
use crate::domain::preference::Channels;

#[derive(Serialize, Deserialize)]
struct OrderVersion {
    #[serde(rename = "_id")]
    order_id: String,
    version: i64,
    /// Whose order it is; absent in documents of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

/// An outcome that is told, but not in the inbox, at the user's wish.
#[derive(Serialize, Deserialize)]
pub(super) struct MutedOutcome {
    pub(super) order_id: String,
    pub(super) kind: String,
    pub(super) user_id: String,
    pub(super) created_at: DateTime,
}

impl MongoStore {
    pub(super) async fn write_order_change(
        &self,
        writing: &mut Writing<'_>,
        change: OrderChange,
        channels: Channels,
    ) -> Result<Recorded, StoreError> {
        let session = writing.begin().await?;
        let newest = self.newest_version(session, change.order_id).await?;
        let ruling = rule(newest, change.arrival);
        if ruling == Ruling::Wait {
            return Ok(Recorded::Waits { missing: newest.unwrap_or(0) + 1 });
        }
        let mut appender = self.appender(session, change.user_id, change.now, &change.cause).await?;
        let event_id = change.event_id;
        if !messaging::mongo::inbox::record_first_use(&self.database, session, CONSUMER, event_id, change.now).await? {
            return Ok(Recorded::Duplicate);
        }
        if ruling == Ruling::Use {
            let this = doc! { "_id": change.order_id.to_string() };
            let user_id = change.user_id.to_string();
            let newest = doc! { "$set": { "version": integer(change.arrival.version), "user_id": user_id } };
            let versions = self.collection::<OrderVersion>(ORDER_VERSIONS);
            versions.update_one(this, newest).upsert(true).session(&mut *session).await?;
            appender.append(change.entry, change.order_json, format!("{event_id}/{}", change.entry.as_str()))?;
        }
        let email_queued = match change.notification {
            Some(draft) => {
                let entry_id = format!("{event_id}/notification");
                self.notify(session, &mut appender, entry_id, change.order_id, draft, channels).await?
            }
            None => false,
        };
        self.write_entries(writing, appender).await?;
        Ok(if ruling == Ruling::Use { Recorded::Used { email_queued } } else { Recorded::Late { email_queued } })
    }

    async fn newest_version(&self, session: &mut ClientSession, order_id: OrderId) -> Result<Option<u64>, StoreError> {
        let id = order_id.to_string();
        let versions = self.collection::<OrderVersion>(ORDER_VERSIONS);
        let found = versions.find_one(doc! { "_id": &id }).session(session).await?;
        found.map(|found| unsigned(found.version, ORDER_VERSIONS, &id)).transpose()
    }

    /// Whose order it is: as its newest event told; of one that earlier builds used, as its notifications tell.
    pub(super) async fn order_owner(&self, order_id: OrderId) -> Result<Option<UserId>, StoreError> {
        let id = order_id.to_string();
        let used = self.collection::<OrderVersion>(ORDER_VERSIONS).find_one(doc! { "_id": &id }).await?;
        let Some(used) = used else { return Ok(None) };
        let owner = match used.user_id {
            Some(owner) => Some(owner),
            None => {
                let notifications = self.collection::<Document>(NOTIFICATIONS);
                let notified = notifications.find_one(doc! { "order_id": &id }).await?;
                notified.and_then(|notified| notified.get_str("user_id").ok().map(str::to_owned))
            }
        };
        owner.map(|owner| parsed(&owner, ORDER_VERSIONS, &id)).transpose()
    }

    /// Tells the user of the outcome, unless that was done, and says whether an email was queued.
    async fn notify(
        &self,
        session: &mut ClientSession,
        appender: &mut Appender<'_>,
        entry_id: String,
        order_id: OrderId,
        draft: NotificationDraft,
        channels: Channels,
    ) -> Result<bool, StoreError> {
        let outcome = doc! { "order_id": order_id.to_string(), "kind": draft.kind.as_str() };
        for told in [NOTIFICATIONS, MUTED] {
            let told = self.collection::<Document>(told).find_one(outcome.clone()).session(&mut *session).await?;
            if told.is_some() {
                return Ok(false);
            }
        }
        let notification = Notification {
            id: draft.id,
            seq: appender.next_seq(),
            kind: draft.kind,
            title: draft.message.title,
            body: draft.message.body,
            order_id,
            read_at: None,
            created_at: appender.now,
        };
        if channels.push {
            let document = NotificationDocument::of(&notification, appender.user_id);
            self.collection(NOTIFICATIONS).insert_one(document).session(&mut *session).await?;
            appender.append(InboxEvent::Notification, notification.to_json(), entry_id)?;
            self.append_unread(session, appender).await?;
        } else {
            let muted = MutedOutcome {
                order_id: order_id.to_string(),
                kind: draft.kind.as_str().to_owned(),
                user_id: appender.user_id.to_string(),
                created_at: date(appender.now),
            };
            self.collection(MUTED).insert_one(muted).session(&mut *session).await?;
        }
        if channels.email {
            let email = EmailDocument::queued(&notification, appender, draft.email);
            self.collection(EMAILS).insert_one(email).session(session).await?;
        }
        Ok(channels.email)
    }
}
