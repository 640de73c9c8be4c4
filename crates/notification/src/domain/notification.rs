//! A notification, and the shape in which every client sees it.

use contracts::Timestamp;
use contracts::ids::{NotificationId, OrderId};
use serde::Serialize;

use crate::domain::kind::NotificationKind;

/// Something a user was told: an inbox entry with a read mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Which.
    pub id: NotificationId,
    /// Position of its entry in the user's inbox.
    pub seq: u64,
    /// What it is about.
    pub kind: NotificationKind,
    /// A few words.
    pub title: String,
    /// A few sentences.
    pub body: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// When the user read it; `None` while unread.
    pub read_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a program needs to react to a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotificationData {
    /// The order it is about.
    pub order_id: OrderId,
}

#[derive(Serialize)]
struct RestShape<'a> {
    id: NotificationId,
    seq: u64,
    kind: &'a str,
    title: &'a str,
    body: &'a str,
    data: NotificationData,
    read: bool,
    created_at: Timestamp,
}

impl Notification {
    /// What a program needs to react to it.
    pub fn data(&self) -> NotificationData {
        NotificationData { order_id: self.order_id }
    }

    /// `{id,seq,kind,title,body,data,read,created_at}`: a notification as the REST API shows it (`/openapi.json`).
    pub fn to_json(&self) -> String {
        to_json(&RestShape {
            id: self.id,
            seq: self.seq,
            kind: self.kind.as_str(),
            title: &self.title,
            body: &self.body,
            data: self.data(),
            read: self.read_at.is_some(),
            created_at: self.created_at,
        })
    }
}

/// The JSON of a value made of texts, numbers and ids alone.
pub fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts, numbers and ids always have a JSON form")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_json_is_the_rest_shape() {
        let mut notification = Notification {
            id: NotificationId::from_uuid(Uuid::from_u128(1)),
            seq: 3,
            kind: NotificationKind::OrderShipped,
            title: "T".to_owned(),
            body: "B \"quoted\"".to_owned(),
            order_id: OrderId::from_uuid(Uuid::from_u128(2)),
            read_at: None,
            created_at: Timestamp::from_unix_ms(0),
        };
        assert_eq!(
            notification.to_json(),
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000001","seq":3,"kind":"order_shipped","title":"T","#,
                r#""body":"B \"quoted\"","data":{"order_id":"00000000-0000-0000-0000-000000000002"},"#,
                r#""read":false,"created_at":"1970-01-01T00:00:00.000Z"}"#
            )
        );
        notification.read_at = Some(Timestamp::from_unix_ms(1));
        assert!(notification.to_json().contains(r#""read":true"#));
    }
}
