//! The inbox of a user.

use contracts::Timestamp;
use serde::Serialize;

/// The name of an inbox entry, the same on every transport, so that a client may resume on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InboxEvent {
    /// The user placed an order; the data is the order.
    OrderCreated,
    /// An order of the user changed; the data is the whole order, the latest wins.
    OrderUpdated,
    /// A notification; the data is its REST shape.
    Notification,
    /// A notification was read; the data is `{"id"}`.
    NotificationRead,
    /// The number of unread notifications changed, by a new one or by reading; the data is `{"count"}`.
    NotificationUnread,
}

impl InboxEvent {
    /// Every name.
    pub const ALL: [Self; 5] =
        [Self::OrderCreated, Self::OrderUpdated, Self::Notification, Self::NotificationRead, Self::NotificationUnread];

    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "order_created",
            Self::OrderUpdated => "order_updated",
            Self::Notification => "notification",
            Self::NotificationRead => "notification:read",
            Self::NotificationUnread => "notification:unread",
        }
    }

    /// Finds an event by its name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// One entry of an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Position: gapless from 1 for each user.
    pub seq: u64,
    /// What happened.
    pub event: InboxEvent,
    /// A JSON object.
    pub data: String,
    /// When it was appended.
    pub created_at: Timestamp,
}

/// A part of an inbox and where its end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxPage {
    /// Oldest first.
    pub entries: Vec<InboxEntry>,
    /// The newest position of the inbox at the moment of reading; 0 for an empty inbox.
    pub head_seq: u64,
    /// The highest position that was acknowledged; 0 for none.
    pub acked_seq: u64,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The highest position that was acknowledged, now or before.
    UpTo(u64),
    /// The inbox does not reach that far; nothing changed.
    BeyondHead {
        /// Its newest position.
        head_seq: u64,
    },
}

/// The data of a `notification:read` entry.
#[derive(Debug, Serialize)]
pub struct ReadData {
    /// Which notification.
    pub id: contracts::ids::NotificationId,
}

/// The data of a `notification:unread` entry.
#[derive(Debug, Serialize)]
pub struct UnreadData {
    /// How many are unread now.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for event in InboxEvent::ALL {
            assert_eq!(InboxEvent::find(event.as_str()), Some(event));
        }
    }
}
