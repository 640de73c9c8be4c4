//! Messages to values of the domain and back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::grpc::notification as proto;
use contracts::ids::{NotificationId, UserId};
use contracts::{Reason, Refusal};
use service_kit::auth::Caller;

use crate::application::queries::NotificationPage;
use crate::domain::inbox::InboxPage;
use crate::domain::kind::NotificationKind;
use crate::domain::notification::{Notification, to_json};
use crate::domain::preference::{ChannelChange, Channels};

/// Whose inbox is meant: the caller's own; services name a user.
pub(super) fn inbox_owner(caller: &Caller, named: &str) -> Result<UserId, Refusal> {
    let parse = || named.parse::<UserId>().map_err(|error| Refusal::invalid("user_id", error));
    if let Caller::Service(_) = caller {
        return parse();
    }
    let own = caller.user()?.user_id;
    if named.is_empty() || parse()? == own {
        return Ok(own);
    }
    Err(Refusal::new(Reason::NotAllowed, "another user's inbox can't be read"))
}

/// 0 means the default.
pub(super) fn limit(limit: u32, default: u32, most: u32) -> Result<u32, Refusal> {
    match limit {
        0 => Ok(default),
        limit if limit <= most => Ok(limit),
        _ => Err(Refusal::invalid("limit", format!("must be 1 to {most}"))),
    }
}

pub(super) fn notification_id(text: &str) -> Result<NotificationId, Refusal> {
    text.parse().map_err(|error| Refusal::invalid("id", error))
}

/// A cursor is the position of the last notification of a page, opaque to clients.
fn encode_cursor(seq: u64) -> String {
    URL_SAFE_NO_PAD.encode(seq.to_be_bytes())
}

/// `None` for the first page.
pub(super) fn decode_cursor(cursor: &str) -> Result<Option<u64>, Refusal> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    match bytes.map(u64::from_be_bytes) {
        Some(seq) if i64::try_from(seq).is_ok() => Ok(Some(seq)),
        _ => Err(Refusal::invalid("cursor", "must be the next_cursor of an earlier page")),
    }
}

/// The choices named; each kind at most once.
pub(super) fn changes(message: &proto::Preferences) -> Result<Vec<(NotificationKind, ChannelChange)>, Refusal> {
    let mut changes: Vec<(NotificationKind, ChannelChange)> = Vec::new();
    for (index, item) in message.items.iter().enumerate() {
        let field = format!("/items/{index}/kind");
        let Some(kind) = NotificationKind::find(&item.kind) else {
            let known = NotificationKind::ALL.map(NotificationKind::as_str).join(", ");
            return Err(Refusal::invalid(field, format!("must be one of {known}")));
        };
        if changes.iter().any(|(other, _)| *other == kind) {
            return Err(Refusal::invalid(field, "must be named only once"));
        }
        changes.push((kind, ChannelChange { push: item.push, email: (!item.keep_email).then_some(item.email) }));
    }
    Ok(changes)
}

pub(super) fn preferences(choices: Vec<(NotificationKind, Channels)>) -> proto::Preferences {
    let items = choices.into_iter().map(|(kind, channels)| proto::Preference {
        kind: kind.as_str().to_owned(),
        email: channels.email,
        push: Some(channels.push),
        keep_email: false,
    });
    proto::Preferences { items: items.collect() }
}

pub(super) fn inbox_page(page: InboxPage) -> proto::ListInboxResponse {
    let items = page.entries.into_iter().map(|entry| proto::InboxEntry {
        seq: entry.seq,
        event: entry.event.as_str().to_owned(),
        data_json: entry.data,
        created_at_unix_ms: entry.created_at.unix_ms(),
    });
    proto::ListInboxResponse { items: items.collect(), head_seq: page.head_seq, acked_seq: page.acked_seq }
}

pub(super) fn notification(notification: Notification) -> proto::Notification {
    proto::Notification {
        id: notification.id.to_string(),
        seq: notification.seq,
        kind: notification.kind.as_str().to_owned(),
        data_json: to_json(&notification.data()),
        read: notification.read_at.is_some(),
        created_at_unix_ms: notification.created_at.unix_ms(),
        title: notification.title,
        body: notification.body,
    }
}

pub(super) fn notification_page(page: NotificationPage) -> proto::ListNotificationsResponse {
    proto::ListNotificationsResponse {
        items: page.items.into_iter().map(notification).collect(),
        next_cursor: page.next_before_seq.map(encode_cursor).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back_as_they_went(seq in 0..=i64::MAX.unsigned_abs()) {
            prop_assert_eq!(decode_cursor(&encode_cursor(seq)).unwrap(), Some(seq));
        }

        #[test]
        fn no_cursor_panics_or_leaves_the_range_of_the_store(text in any::<String>()) {
            if let Ok(Some(seq)) = decode_cursor(&text) {
                prop_assert!(i64::try_from(seq).is_ok());
            }
        }
    }

    #[test]
    fn a_cursor_beyond_the_store_or_of_another_kind_is_refused() {
        for bad in [encode_cursor(u64::MAX), "x".to_owned(), "AAAA".to_owned(), "\0".to_owned()] {
            assert_eq!(decode_cursor(&bad).unwrap_err().fields[0].field, "cursor", "{bad:?}");
        }
    }

    #[test]
    fn limits_have_a_default_and_an_end() {
        assert_eq!(limit(0, 20, 100), Ok(20));
        assert_eq!(limit(100, 20, 100), Ok(100));
        assert!(limit(101, 20, 100).is_err());
    }

    #[test]
    fn callers_that_know_of_email_alone_leave_the_inbox_as_it_is() {
        let kind = || "order_shipped".to_owned();
        let change = |item| changes(&proto::Preferences { items: vec![item] }).unwrap().remove(0).1;
        let earlier = proto::Preference { kind: kind(), email: false, ..proto::Preference::default() };
        assert_eq!(change(earlier), ChannelChange { push: None, email: Some(false) });
        let quiet = proto::Preference { kind: kind(), push: Some(false), keep_email: true, email: false };
        assert_eq!(change(quiet), ChannelChange { push: Some(false), email: None });
    }

    #[test]
    fn a_kind_that_is_unknown_or_named_twice_is_pointed_at() {
        let item = |kind: &str| proto::Preference { kind: kind.to_owned(), ..proto::Preference::default() };
        let field = |items| changes(&proto::Preferences { items }).unwrap_err().fields[0].field.clone();
        assert_eq!(field(vec![item("newsletter")]), "/items/0/kind");
        assert_eq!(field(vec![item("order_shipped"), item("order_shipped")]), "/items/1/kind");
    }
}
