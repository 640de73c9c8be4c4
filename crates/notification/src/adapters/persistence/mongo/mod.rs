//! Inboxes, notifications, emails and the chat in MongoDB; several processes may share a database.
//!
//! Every change of an inbox writes the user's document in `inbox_heads` first: it counts the positions, so that they are
//! gapless, and keeps two changes of one inbox apart. The document of a room does the same for the room. Few round trips:
//! docs/adr/0030-few-round-trips-to-mongodb.md.

mod acks;
mod audit;
mod chat;
mod contacts;
mod emails;
mod entries;
mod error;
mod notifications;
mod orders;
mod preferences;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use contracts::IdGenerator;
use messaging::mongo::{
    CollectionPlan, InvalidMongoUrl, MongoDatabase, MongoError, MongoOutbox, expiring_index, index, partial_index,
    unique_index,
};
use mongodb::Collection;
use mongodb::bson::doc;

pub use audit::MongoNotificationAudit;
use turns::Turns;

/// How long after they were queued the server itself deletes emails that wait no more, should housekeeping not have done so.
const FINISHED_EMAILS_KEPT: Duration = Duration::from_hours(60 * 24);
/// The database, if the address names none.
const DEFAULT_NAME: &str = "notification";

const HEADS: &str = "inbox_heads";
const ENTRIES: &str = "inbox_entries";
const ORDER_VERSIONS: &str = "order_versions";
const NOTIFICATIONS: &str = "notifications";
const MUTED: &str = "muted_outcomes";
const ACKS: &str = "inbox_acks";
const PREFERENCES: &str = "preferences";
const CONTACTS: &str = "contacts";
const EMAILS: &str = "emails";
const CHAT_ROOMS: &str = "chat_rooms";
const CHAT_MEMBERS: &str = "chat_members";
const CHAT_MESSAGES: &str = "chat_messages";

fn plan() -> Vec<CollectionPlan> {
    let unread = partial_index("notifications_unread", doc! { "user_id": 1, "seq": 1 }, doc! { "unread": true });
    let finished = doc! { "waiting": false };
    vec![
        CollectionPlan::new(HEADS, []),
        CollectionPlan::new(
            ENTRIES,
            [
                unique_index("inbox_by_seq", doc! { "user_id": 1, "seq": 1 }, None),
                unique_index("inbox_by_event", doc! { "user_id": 1, "event_id": 1 }, None),
            ],
        ),
        CollectionPlan::new(ORDER_VERSIONS, []),
        CollectionPlan::new(
            NOTIFICATIONS,
            [
                unique_index("notifications_by_outcome", doc! { "order_id": 1, "kind": 1 }, None),
                index("notifications_by_position", doc! { "user_id": 1, "seq": -1 }),
                unread,
            ],
        ),
        CollectionPlan::new(MUTED, [unique_index("muted_by_outcome", doc! { "order_id": 1, "kind": 1 }, None)]),
        CollectionPlan::new(ACKS, []),
        CollectionPlan::new(PREFERENCES, [unique_index("preference", doc! { "user_id": 1, "kind": 1 }, None)]),
        CollectionPlan::new(CONTACTS, []),
        CollectionPlan::new(
            EMAILS,
            [
                partial_index("emails_waiting", doc! { "next_attempt_at": 1 }, doc! { "waiting": true }),
                expiring_index("emails_finished", "created_at", FINISHED_EMAILS_KEPT, Some(finished)),
            ],
        ),
        CollectionPlan::new(
            CHAT_ROOMS,
            [
                unique_index("chat_rooms_by_key", doc! { "key": 1 }, None),
                index("chat_rooms_by_visibility", doc! { "visibility": 1, "_id": -1 }),
            ],
        ),
        CollectionPlan::new(
            CHAT_MEMBERS,
            [
                unique_index("chat_members_by_room", doc! { "room_id": 1, "user_id": 1 }, None),
                index("chat_members_by_user", doc! { "user_id": 1, "room_id": -1 }),
            ],
        ),
        CollectionPlan::new(
            CHAT_MESSAGES,
            [
                unique_index("chat_messages_by_seq", doc! { "room_id": 1, "seq": 1 }, None),
                unique_index("chat_messages_by_key", doc! { "room_id": 1, "user_id": 1, "key": 1 }, None),
            ],
        ),
    ]
}

/// Every repository of this service, in one database. Clones share it.
#[derive(Clone)]
pub struct MongoStore {
    database: MongoDatabase,
    ids: Arc<dyn IdGenerator>,
    turns: Arc<Turns>,
}

impl MongoStore {
    /// The database of this address; it is connected to when it is used.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str, ids: Arc<dyn IdGenerator>) -> Result<Self, InvalidMongoUrl> {
        let database = MongoDatabase::open(url, DEFAULT_NAME, plan()).await?;
        Ok(Self { database, ids, turns: Arc::new(Turns::new()) })
    }

    /// The events that wait to be published.
    pub fn outbox(&self) -> MongoOutbox {
        MongoOutbox::new(self.database.clone())
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// When it can't, saying why.
    pub async fn ping(&self) -> Result<(), MongoError> {
        self.database.ping().await
    }

    fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }
}
