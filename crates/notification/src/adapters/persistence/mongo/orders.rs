//! An order's event becomes entries, a notification, an email and `inbox.appended` events, or nothing, in one transaction.

use contracts::ids::{OrderId, UserId};
use futures::TryStreamExt as _;
use messaging::mongo::{Bulk, MongoError, Writing};
use mongodb::bson::{DateTime, Document, bson, doc};
use serde::{Deserialize, Serialize};

use super::emails::EmailDocument;
use super::entries::{Addition, Appender};
use super::error::{StoreError, date, integer, parsed, unsigned};
use super::notifications::NotificationDocument;
use super::{EMAILS, MUTED, MongoStore, NOTIFICATIONS, ORDER_VERSIONS};
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
    /// The kinds of the outcomes that were told, in the inbox or by email alone; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Vec<String>>,
    /// The ids of its events that were used; none of those that earlier builds used.
    #[serde(default)]
    used: Vec<String>,
}

/// An outcome that is told, but not in the inbox, at the user's wish.
#[derive(Serialize, Deserialize)]
pub(super) struct MutedOutcome {
    pub(super) order_id: String,
    pub(super) kind: String,
    pub(super) user_id: String,
    pub(super) created_at: DateTime,
}

/// What was known of the order before its event.
#[derive(Default)]
struct Known {
    version: Option<u64>,
    /// The outcomes that its owner was told of.
    told: Vec<String>,
    /// The order's document does not tell them yet.
    told_elsewhere: bool,
    /// The ids of its events that were used.
    used: Vec<String>,
}

impl Known {
    /// The order's document, if it is still as it was read.
    fn as_read(&self, order_id: OrderId) -> Document {
        let told = if self.told_elsewhere { bson!({ "$exists": false }) } else { bson!(self.told.clone()) };
        doc! { "_id": order_id.to_string(), "version": integer(self.version.unwrap_or(0)), "told": told }
    }
}

/// What an event does.
struct Effects<'a> {
    /// The order is shown as it is after it.
    shown: bool,
    /// Its outcome, unless that was told before.
    told: Option<&'a NotificationDraft>,
    channels: Channels,
}

impl Effects<'_> {
    fn addition<'c>(&self, change: &'c OrderChange) -> Addition<'c> {
        let notified = self.told.is_some() && self.channels.push;
        Addition {
            user_id: change.user_id,
            entries: usize::from(self.shown) + if notified { 2 } else { 0 },
            unread: i64::from(notified),
            now: change.now,
            cause: &change.cause,
        }
    }
}

impl MongoStore {
    pub(super) async fn write_order_change(&self, change: &OrderChange) -> Result<Recorded, StoreError> {
        let _turn = self.turns.of(change.user_id).await;
        let mut writing = self.database.write();
        // An order that is created is not asked for. If it was known nevertheless, its document is in the way of a second one.
        let mut is_new = change.arrival.opens;
        loop {
            let outcome = self.try_order_change(&mut writing, change, is_new).await;
            match writing.settle(outcome).await {
                None => {}
                Some(Err(StoreError::Taken)) if is_new => {}
                Some(done) => return done,
            }
            is_new = false;
        }
    }

    /// Reads outside of the transaction, which others of this inbox wait for; what was read guards what is written.
    async fn try_order_change(
        &self,
        writing: &mut Writing<'_>,
        change: &OrderChange,
        is_new: bool,
    ) -> Result<Recorded, StoreError> {
        let draft = change.notification.as_ref();
        let known = async { if is_new { Ok(Known::default()) } else { self.known_order(change.order_id).await } };
        let (known, channels) = tokio::try_join!(known, async {
            match draft {
                Some(draft) => self.channels_of(change.user_id, draft.kind).await,
                None => Ok(Channels::default()),
            }
        })?;
        if known.used.contains(&change.event_id.to_string()) {
            return Ok(Recorded::Duplicate);
        }
        let ruling = rule(known.version, change.arrival);
        if ruling == Ruling::Wait {
            return Ok(Recorded::Waits { missing: known.version.unwrap_or(0) + 1 });
        }
        let told = draft.filter(|draft| !known.told.iter().any(|kind| kind == draft.kind.as_str()));
        let effects = Effects { shown: ruling == Ruling::Use, told, channels };
        let email_queued = told.is_some() && channels.email;
        if !effects.shown && told.is_none() {
            let used = doc! { "$addToSet": { "used": change.event_id.to_string() } };
            let orders = self.collection::<OrderVersion>(ORDER_VERSIONS);
            let noted = orders.update_one(known.as_read(change.order_id), used).await?;
            return if noted.matched_count == 1 {
                Ok(Recorded::Late { email_queued })
            } else {
                Err(MongoError::Stale.into())
            };
        }
        let mut appender = self.appender(writing, effects.addition(change)).await?;
        let mut bulk = Bulk::new();
        self.keep_order(&mut bulk, change, known, &effects)?;
        if effects.shown {
            let entry_id = format!("{}/{}", change.event_id, change.entry.as_str());
            appender.append(change.entry, change.order_json.clone(), entry_id)?;
        }
        if let Some(draft) = told {
            self.notify(&mut bulk, &mut appender, change, draft, channels)?;
        }
        self.write_entries(writing, bulk, appender).await.map_err(StoreError::or_taken)?;
        Ok(if effects.shown { Recorded::Used { email_queued } } else { Recorded::Late { email_queued } })
    }

    async fn known_order(&self, order_id: OrderId) -> Result<Known, StoreError> {
        let id = order_id.to_string();
        let found = self.collection::<OrderVersion>(ORDER_VERSIONS).find_one(doc! { "_id": &id }).await?;
        let Some(found) = found else { return Ok(Known::default()) };
        let version = Some(unsigned(found.version, ORDER_VERSIONS, &id)?);
        if let Some(told) = found.told {
            return Ok(Known { version, told, told_elsewhere: false, used: found.used });
        }
        let mut known = Known { version, told: Vec::new(), told_elsewhere: true, used: found.used };
        for outcomes in [NOTIFICATIONS, MUTED] {
            let mut told = self.collection::<Document>(outcomes).find(doc! { "order_id": &id }).await?;
            while let Some(outcome) = told.try_next().await? {
                let kind = outcome.get_str("kind").map_err(|_| StoreError::corrupt(outcomes, &id))?;
                known.told.push(kind.to_owned());
            }
        }
        Ok(known)
    }

    /// Keeps what is known of the order now, if it is known still as it was read.
    fn keep_order(
        &self,
        bulk: &mut Bulk,
        change: &OrderChange,
        known: Known,
        effects: &Effects<'_>,
    ) -> Result<(), StoreError> {
        let orders = self.collection::<OrderVersion>(ORDER_VERSIONS);
        let version = if effects.shown { Some(change.arrival.version) } else { known.version };
        let document = OrderVersion {
            order_id: change.order_id.to_string(),
            version: integer(version.unwrap_or(0)),
            user_id: Some(change.user_id.to_string()),
            told: Some(
                known.told.iter().cloned().chain(effects.told.map(|told| told.kind.as_str().to_owned())).collect(),
            ),
            used: known.used.iter().cloned().chain([change.event_id.to_string()]).collect(),
        };
        if known.version.is_none() {
            return Ok(bulk.insert(&orders, &document)?);
        }
        let OrderVersion { version, user_id, told, used, .. } = document;
        let newest = doc! { "version": version, "user_id": user_id, "told": told, "used": used };
        bulk.update(&orders, known.as_read(change.order_id), doc! { "$set": newest });
        Ok(())
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

    /// Tells the user of the outcome.
    fn notify(
        &self,
        bulk: &mut Bulk,
        appender: &mut Appender<'_>,
        change: &OrderChange,
        draft: &NotificationDraft,
        channels: Channels,
    ) -> Result<(), StoreError> {
        let notification = Notification {
            id: draft.id,
            seq: appender.next_seq(),
            kind: draft.kind,
            title: draft.message.title.clone(),
            body: draft.message.body.clone(),
            order_id: change.order_id,
            read_at: None,
            created_at: appender.now,
        };
        if channels.push {
            let document = NotificationDocument::of(&notification, appender.user_id);
            bulk.insert(&self.collection(NOTIFICATIONS), &document)?;
            let entry_id = format!("{}/notification", change.event_id);
            appender.append(InboxEvent::Notification, notification.to_json(), entry_id)?;
            appender.append_unread()?;
        } else {
            let muted = MutedOutcome {
                order_id: change.order_id.to_string(),
                kind: draft.kind.as_str().to_owned(),
                user_id: appender.user_id.to_string(),
                created_at: date(appender.now),
            };
            bulk.insert(&self.collection(MUTED), &muted)?;
        }
        if channels.email {
            let email = EmailDocument::queued(&notification, appender, draft.email.clone());
            bulk.insert(&self.collection(EMAILS), &email)?;
        }
        Ok(())
    }
}
