//! Accounts, sessions, keys and outgoing events in MongoDB; several processes may share a database.
//!
//! Whatever depends on a user's roles, ban or sessions writes the user's document first, be it only its `lock`: in
//! snapshots alone, a session could begin beside the ban that should have ended it.

mod audit;
mod documents;
mod effects;
mod error;
mod sessions;
mod signing_keys;
mod users;

use std::time::Duration;

use messaging::mongo::{
    CollectionPlan, InvalidMongoUrl, MongoDatabase, MongoOutbox, caseless, expiring_index, index, partial_index,
    unique_index,
};
use mongodb::Collection;
use mongodb::bson::{Document, doc};

pub use audit::MongoUserAudit;
use documents::{KeyDocument, RevocationDocument, SessionDocument, TokenDocument, UserDocument};

/// How long after their end the server itself deletes sessions, refresh tokens and revocations, should housekeeping not have
/// done so: a lost revocation would let a void token pass, so no difference of clocks may come near it.
const KEPT_AFTER_END: Duration = Duration::from_hours(7 * 24);
/// The database, if the address names none.
const DEFAULT_NAME: &str = "users";

const USERS: &str = "users";
const SESSIONS: &str = "sessions";
const REFRESH_TOKENS: &str = "refresh_tokens";
const REVOCATIONS: &str = "revocations";
const SIGNING_KEYS: &str = "signing_keys";
const LOCKS: &str = "locks";

fn plan() -> Vec<CollectionPlan> {
    vec![
        CollectionPlan::new(
            USERS,
            [
                unique_index("users_by_email", doc! { "email": 1 }, Some(caseless())),
                index("users_by_registration", doc! { "created_at": 1, "_id": 1 }),
                partial_index("users_seeded", doc! { "seeded": 1 }, doc! { "seeded": true }),
            ],
        ),
        CollectionPlan::new(
            SESSIONS,
            [
                index("sessions_by_user", doc! { "user_id": 1 }),
                expiring_index("sessions_by_end", "expires_at", KEPT_AFTER_END, None),
            ],
        ),
        CollectionPlan::new(
            REFRESH_TOKENS,
            [
                index("refresh_tokens_by_session", doc! { "session_id": 1 }),
                expiring_index("refresh_tokens_over", "forget_at", Duration::ZERO, None),
            ],
        ),
        CollectionPlan::new(
            REVOCATIONS,
            [
                index("revocations_by_end", doc! { "expires_at": 1, "_id": 1 }),
                expiring_index("revocations_over", "expires_at", KEPT_AFTER_END, None),
            ],
        ),
        CollectionPlan::new(SIGNING_KEYS, []),
        CollectionPlan::new(LOCKS, []),
    ]
}

/// Users, sessions and signing keys in a database; clones share it.
#[derive(Clone)]
pub struct MongoStore {
    database: MongoDatabase,
}

impl MongoStore {
    /// The database of this address; it is connected to when it is used.
    ///
    /// # Errors
    /// [`InvalidMongoUrl`].
    pub async fn open(url: &str) -> Result<Self, InvalidMongoUrl> {
        Ok(Self { database: MongoDatabase::open(url, DEFAULT_NAME, plan()).await? })
    }

    /// The events to publish.
    pub fn outbox(&self) -> MongoOutbox {
        MongoOutbox::new(self.database.clone())
    }

    /// Answers when the store can be written to.
    ///
    /// # Errors
    /// When it can't, saying why.
    pub async fn ping(&self) -> Result<(), messaging::mongo::MongoError> {
        self.database.ping().await
    }

    fn users(&self) -> Collection<UserDocument> {
        self.database.collection(USERS)
    }

    fn sessions(&self) -> Collection<SessionDocument> {
        self.database.collection(SESSIONS)
    }

    fn refresh_tokens(&self) -> Collection<TokenDocument> {
        self.database.collection(REFRESH_TOKENS)
    }

    fn revocations(&self) -> Collection<RevocationDocument> {
        self.database.collection(REVOCATIONS)
    }

    fn signing_keys(&self) -> Collection<KeyDocument> {
        self.database.collection(SIGNING_KEYS)
    }

    fn locks(&self) -> Collection<Document> {
        self.database.collection(LOCKS)
    }
}
