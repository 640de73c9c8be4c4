//! Identifiers: one type for each kind of thing, all UUIDs (version 7 when Souk makes them, RFC 9562).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Parses the hyphenated form alone, so that one id has one spelling (letter case aside).
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

/// The text is not a UUID in hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID such as 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
pub struct InvalidId;

id! {
    /// An order.
    OrderId
}
id! {
    /// A user.
    UserId
}
id! {
    /// A payment.
    PaymentId
}
id! {
    /// One refund; its own idempotency key.
    RefundId
}
id! {
    /// A notification.
    NotificationId
}
id! {
    /// A room of the chat.
    ChatRoomId
}
id! {
    /// A message in a room of the chat.
    ChatMessageId
}
id! {
    /// A sign-in and everything refreshed from it.
    SessionId
}

/// Where new ids come from: a port, so that a simulation can repeat a run exactly.
pub trait IdGenerator: Send + Sync {
    /// A new UUID, greater than those made before it on this machine.
    fn new_uuid(&self) -> Uuid;
}

/// Version 7 UUIDs: ordered by time, so that indexes grow at their end.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidV7Generator;

impl IdGenerator for UuidV7Generator {
    fn new_uuid(&self) -> Uuid {
        #[expect(clippy::disallowed_methods, reason = "this is the port's adapter")]
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id: OrderId = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        assert_eq!(id.to_string(), "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
        for bad in [
            "",
            "1",
            "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b",
            "{0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5}",
            "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5\0",
        ] {
            assert_eq!(bad.parse::<OrderId>(), Err(InvalidId), "{bad:?}");
        }
    }
}
