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

/// What the user is told of, and how.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": [{"kind": "order_confirmed", "push": true, "email": true}]}))]
pub struct Preferences {
    /// Every kind.
    pub items: Vec<Preference>,
}

/// How one kind of notification is told; with both channels off it is not.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preference {
    /// The kind.
    pub kind: String,
    /// Whether in the inbox: pushed to every device, listed, and counted while unread.
    pub push: bool,
    /// Whether by email.
    pub email: bool,
}

/// What the user wants to be told of, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"kind": "order_shipped", "push": true, "email": false}]}))]
pub struct PreferenceChanges {
    /// Kinds left out stay as they are.
    pub items: Vec<PreferenceChange>,
}

/// A choice for one kind of notification; a channel left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceChange {
    /// The kind.
    pub kind: String,
    /// Whether in the inbox.
    pub push: Option<bool>,
    /// Whether by email.
    pub email: Option<bool>,
}

impl From<notification::Preferences> for Preferences {
    fn from(preferences: notification::Preferences) -> Self {
        let items = preferences.items.into_iter().map(|item| Preference {
            kind: item.kind,
            // A service of an earlier build pushes everything and does not say so.
            push: item.push.unwrap_or(true),
            email: item.email,
        });
        Self { items: items.collect() }
    }
}

impl From<PreferenceChanges> for notification::Preferences {
    fn from(changes: PreferenceChanges) -> Self {
        let items = changes.items.into_iter().map(|item| notification::Preference {
            kind: item.kind,
            email: item.email.unwrap_or_default(),
            push: item.push,
            keep_email: item.email.is_none(),
        });
        Self { items: items.collect() }
    }
}
