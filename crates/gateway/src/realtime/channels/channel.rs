//! The names of channels, and the rooms that carry them.

use std::fmt;
use std::str::FromStr;

use contracts::ids::OrderId;
use contracts::values::Sku;
use socketio::Room;

/// What the rooms of channels begin with; clients can't join them by name.
pub const ROOM_PREFIX: &str = "live:";

/// Something that a page may show and be kept up to date with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `product:<sku>`: one product, for everybody who is signed in.
    Product(Sku),
    /// `order:<id>`: one order, for its owner and for staff.
    Order(OrderId),
    /// `catalogue`: price and stock of all products, for everybody who is signed in.
    Catalogue,
    /// `dashboard`: how the shop is doing, for administrators.
    Dashboard,
}

/// The text names no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a channel is product:<sku>, order:<id>, catalogue or dashboard")]
pub struct UnknownChannel;

impl Channel {
    /// The room whose sockets get its updates.
    pub fn room(&self) -> Room {
        format!("{ROOM_PREFIX}{self}").into()
    }

    /// The channel of a room; `None` for rooms of other purposes.
    pub fn of_room(room: &str) -> Option<Self> {
        room.strip_prefix(ROOM_PREFIX)?.parse().ok()
    }
}

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(text: &str) -> Result<Self, UnknownChannel> {
        let channel = match text.split_once(':') {
            None if text == "catalogue" => Self::Catalogue,
            None if text == "dashboard" => Self::Dashboard,
            Some(("product", sku)) => sku.parse().map(Self::Product).map_err(|_| UnknownChannel)?,
            Some(("order", id)) => id.parse().map(Self::Order).map_err(|_| UnknownChannel)?,
            _ => return Err(UnknownChannel),
        };
        // One spelling for each: a client finds an update's channel under the name that it asked for.
        if channel.to_string() == text { Ok(channel) } else { Err(UnknownChannel) }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(sku) => write!(f, "product:{sku}"),
            Self::Order(id) => write!(f, "order:{id}"),
            Self::Catalogue => f.write_str("catalogue"),
            Self::Dashboard => f.write_str("dashboard"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_its_room_too() {
        for name in ["product:TEA-001", "order:0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "catalogue", "dashboard"] {
            let channel: Channel = name.parse().unwrap();
            assert_eq!(channel.to_string(), name);
            assert_eq!(&*channel.room(), format!("live:{name}"));
            assert_eq!(Channel::of_room(&channel.room()), Some(channel));
        }
    }

    #[test]
    fn what_is_no_channel_is_refused() {
        for name in [
            "",
            "live:catalogue",
            "Catalogue",
            "catalogue:",
            "product:",
            "product:-x",
            "product:a b",
            "product",
            "order:1",
            "order:",
            "order:0190A1B2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "user:0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "chat:1",
        ] {
            assert_eq!(name.parse::<Channel>(), Err(UnknownChannel), "{name}");
        }
        for room in ["catalogue", "chat:catalogue", "room:catalogue", "live:"] {
            assert_eq!(Channel::of_room(room), None, "{room}");
        }
    }
}
