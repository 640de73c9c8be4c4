//! What the use cases need from outside. The documentation of each trait is the specification of its adapters.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::{NotificationId, OrderId, UserId};
use uuid::Uuid;

use crate::application::Cause;
use crate::domain::contact::Contact;
use crate::domain::email::QueuedEmail;
use crate::domain::email_content::EmailContent;
use crate::domain::inbox::{Acked, InboxEvent, InboxPage};
use crate::domain::kind::NotificationKind;
use crate::domain::message::Message;
use crate::domain::notification::Notification;
use crate::domain::ordering::Arrival;
use crate::domain::preference::{ChannelChange, Channels};

/// What went wrong beneath a port, in words that hold no driver's type.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The store could not do it; nothing of the change was kept.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Something unique was there already.
    #[error("the change conflicts with what is stored")]
    Conflict,
    /// The store is away or failing; trying again is safe.
    #[error("the store is not available")]
    Unavailable(#[source] Source),
    /// A stored row makes no sense.
    #[error("row {row} of {table} is corrupt")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Which.
        row: String,
    },
}

/// A notification to be made of an event.
#[derive(Clone, Debug)]
pub struct NotificationDraft {
    /// Its id.
    pub id: NotificationId,
    /// Its kind.
    pub kind: NotificationKind,
    /// Its words.
    pub message: Message,
    /// What its email says, without greeting; the subject is the title.
    pub email: EmailContent,
}

/// Everything that an order's event changes.
#[derive(Clone, Debug)]
pub struct OrderChange {
    /// The event; used once.
    pub event_id: Uuid,
    /// Whose inbox.
    pub user_id: UserId,
    /// Which order.
    pub order_id: OrderId,
    /// The event's place in the order's history.
    pub arrival: Arrival,
    /// The name of the entry that shows the order.
    pub entry: InboxEvent,
    /// The order as the event told it, unchanged.
    pub order_json: String,
    /// What the user is told.
    pub notification: Option<NotificationDraft>,
    /// The moment of everything that is kept.
    pub now: Timestamp,
    /// What caused it.
    pub cause: Cause,
}

/// What became of an [`OrderChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Kept; it is the newest version of the order.
    Used {
        /// An email was queued.
        email_queued: bool,
    },
    /// A newer version was used before: of this one only the notification, if any, was kept.
    Late {
        /// An email was queued.
        email_queued: bool,
    },
    /// The event had been used; nothing changed.
    Duplicate,
    /// The version before is missing; nothing changed.
    Waits {
        /// The version that has to come first.
        missing: u64,
    },
}

/// The inboxes, the notifications in them, and what must be kept together with them.
///
/// Each method is one transaction. Appending an entry gives it the user's next `seq` (gapless from 1, also under
/// concurrent writers) and publishes one `inbox.appended` event in the same transaction.
#[async_trait]
pub trait InboxRepository: Send + Sync {
    /// Applies [`crate::domain::ordering::rule`] to the newest version of the order used so far, then:
    ///
    /// - `Use`: records the event id and the version, appends `entry` with `order_json` (entry id `<event id>/<entry>`);
    /// - `Late`: records the event id;
    /// - `Wait`: changes nothing.
    ///
    /// With `Use` and `Late`, unless this outcome of the order was told already: if the user wants this kind in the inbox (the
    /// default), stores the notification, appends it as a `notification` entry (entry id `<event id>/notification`, data: its
    /// REST shape) and then `notification:unread`; else remembers that the outcome was told. And if the user wants email of
    /// this kind (the default), queues the email, due now.
    ///
    /// An event id that was recorded before changes nothing.
    async fn record_order_change(&self, change: OrderChange) -> Result<Recorded, RepositoryError>;

    /// Entries with `seq > after_seq`, oldest first, at most `limit`, fewer when their data is large (at least one if there
    /// is one), and the newest `seq`, all as of one moment; and how far the inbox is acknowledged.
    async fn list_inbox(&self, user_id: UserId, after_seq: u64, limit: u32) -> Result<InboxPage, RepositoryError>;

    /// The user's devices have all up to `seq`, which is acknowledged from now on. Never moves back; nothing changes if as much
    /// was acknowledged before, or if the inbox does not reach that far.
    async fn acknowledge(&self, user_id: UserId, seq: u64) -> Result<Acked, RepositoryError>;

    /// The user's notifications with `seq < before_seq` (`None`: from the newest), newest first, at most `limit`.
    async fn list_notifications(
        &self,
        user_id: UserId,
        unread_only: bool,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Notification>, RepositoryError>;

    /// How many of the user's notifications are unread; costs no more than reading those.
    async fn count_unread(&self, user_id: UserId) -> Result<u64, RepositoryError>;

    /// Marks one of the user's notifications read; `None` if the user has no such notification. If it was unread, appends
    /// `notification:read` and `notification:unread`; else nothing changes.
    async fn mark_read(
        &self,
        user_id: UserId,
        id: NotificationId,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<Notification>, RepositoryError>;

    /// Marks all of the user's notifications read and says how many were unread. If any was, appends one
    /// `notification:read` for each, oldest first, and one `notification:unread`.
    async fn mark_all_read(&self, user_id: UserId, now: Timestamp, cause: Cause) -> Result<u64, RepositoryError>;
}

/// What users want to be told of, and how.
#[async_trait]
pub trait PreferenceRepository: Send + Sync {
    /// The user's choices; a kind that is absent was never chosen, and every channel is on.
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, Channels)>, RepositoryError>;

    /// Changes the channels that are named of these kinds, leaves the others; in one transaction.
    async fn save_preferences(
        &self,
        user_id: UserId,
        changes: Vec<(NotificationKind, ChannelChange)>,
    ) -> Result<(), RepositoryError>;
}

/// Addresses and names, as the users service told them, for as long as nothing says that they changed. Of each user the newest
/// version of the account that anybody told is remembered, and nothing older is kept.
#[async_trait]
pub trait ContactRepository: Send + Sync {
    /// Keeps the contact and its version. `false`, and nothing changes, if a newer version was told.
    async fn save_contact(&self, contact: Contact) -> Result<bool, RepositoryError>;

    /// The account has this version and what is kept is older: forgets address and name, remembers the version, also of a user
    /// who was unknown. Nothing changes if the same or a newer version was told.
    async fn forget_contact(&self, user_id: UserId, version: u64) -> Result<(), RepositoryError>;

    /// The contact of the newest version told; `None` if it was forgotten or never kept.
    async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError>;
}

/// The emails that wait to be sent. Several processes may deliver them: whoever claims an email alone has it meanwhile.
#[async_trait]
pub trait EmailQueue: Send + Sync {
    /// Takes emails whose next attempt is due at `now`, the longest due first, at most `limit`. They are due again at
    /// `lease_until`, should nobody say what became of them: no email is given to two callers before that.
    async fn claim_due(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<QueuedEmail>, RepositoryError>;

    /// When the next attempt is due, or the next lease ends; `None` when nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError>;

    /// These emails are sent: they wait no more.
    async fn mark_sent(&self, ids: &[NotificationId], at: Timestamp) -> Result<(), RepositoryError>;

    /// Sending failed: one failure more, next attempt then. Nothing changes for an email that waits no more.
    async fn mark_failed(&self, id: NotificationId, next_attempt_at: Timestamp) -> Result<(), RepositoryError>;

    /// The email will never be sent: it waits no more. Nothing changes for one that was sent after all.
    async fn mark_given_up(&self, id: NotificationId) -> Result<(), RepositoryError>;
}

/// What need not be kept for ever.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Forgets which events were used before this moment, where that costs anything, and emails that were queued before it and wait no more.
    async fn forget_before(&self, moment: Timestamp) -> Result<(), RepositoryError>;
}

/// The users service can't be asked now.
#[derive(Debug, thiserror::Error)]
#[error("the users service could not be asked")]
pub struct DirectoryError(#[source] pub Source);

/// Who users are, asked of the service that owns them.
#[async_trait]
pub trait UserDirectory: Send + Sync {
    /// The user, as of the version of the account that the answer names; `None` when there is no such user.
    async fn find_user(&self, user_id: UserId) -> Result<Option<Contact>, DirectoryError>;
}

/// An email, ready to be sent.
#[derive(Clone)]
pub struct OutgoingEmail {
    /// Names the email: the same id twice is the same email.
    pub id: NotificationId,
    /// To whom.
    pub to: Contact,
    /// The subject.
    pub subject: String,
    /// The whole text, and the same as HTML.
    pub content: EmailContent,
    /// Its date.
    pub created_at: Timestamp,
}

/// Why an email was not sent. The text never holds the address.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It can't be sent to this address, however often it is tried.
    #[error("the email can't be sent: {0}")]
    Refused(String),
    /// Not now.
    #[error("the mail transport is not available")]
    Unavailable(#[source] Source),
}

/// Sends emails.
///
/// Sending the same email again is harmless: it has the same `Message-ID`, by which receivers recognise it.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends one email; on return it is out of our hands. A caller may give up waiting: no half of an email is sent then.
    async fn send(&self, email: OutgoingEmail) -> Result<(), MailError>;
}
