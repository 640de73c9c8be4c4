//! Notifications.

use contracts::Timestamp;
use contracts::grpc::notification;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{BadAnswer, PageLimit, raw_json};

/// Something the user should know.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notification {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// Its position in the inbox.
    pub seq: u64,
    /// `order_confirmed`, `order_rejected`, `order_cancelled`, `order_shipped`, `order_delivered`, `order_refunded`.
    #[schema(example = "order_confirmed")]
    pub kind: String,
    /// In a few words.
    pub title: String,
    /// In a few sentences.
    pub body: String,
    /// For programs, with `order_id`.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
    /// Whether it was marked read.
    pub read: bool,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl TryFrom<notification::Notification> for Notification {
    type Error = BadAnswer;

    fn try_from(message: notification::Notification) -> Result<Self, BadAnswer> {
        Ok(Self {
            data: raw_json(message.data_json)?,
            id: message.id,
            seq: message.seq,
            kind: message.kind,
            title: message.title,
            body: message.body,
            read: message.read,
            created_at: Timestamp::from_unix_ms(message.created_at_unix_ms),
        })
    }
}

/// Which notifications to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct NotificationQuery {
    /// Notifications on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only those not read.
    pub unread: Option<bool>,
}

/// How many were marked.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarkedRead {
    /// Notifications that were unread.
    pub marked: u64,
}

/// How many are unread.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnreadCount {
    /// Notifications.
    pub count: u64,
}

/// What is also sent by email.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"kind": "order_confirmed", "email": true}]}))]
pub struct Preferences {
    /// By kind; when written, kinds left out stay as they are.
    pub items: Vec<Preference>,
}

/// The choice for one kind of notification.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    /// The kind.
    pub kind: String,
    /// Whether an email goes out, too.
    pub email: bool,
}

impl From<notification::Preferences> for Preferences {
    fn from(preferences: notification::Preferences) -> Self {
        let items = preferences.items.into_iter();
        Self { items: items.map(|item| Preference { kind: item.kind, email: item.email }).collect() }
    }
}

impl From<Preferences> for notification::Preferences {
    fn from(preferences: Preferences) -> Self {
        let items = preferences.items.into_iter();
        Self { items: items.map(|item| notification::Preference { kind: item.kind, email: item.email }).collect() }
    }
}
