//! The payloads of events, by routing key. Fields may be added, never removed or given another meaning.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::{ChatMessageId, ChatRoomId, OrderId, SessionId, UserId};
use crate::money::Money;
use crate::timestamp::Timestamp;
use crate::values::Sku;

/// Routing keys.
pub mod event_type {
    /// An account was made.
    pub const USER_REGISTERED: &str = "user.registered";
    /// Who the person is changed: ask `users.GetUser` for name and address.
    pub const USER_UPDATED: &str = "user.updated";
    /// Roles were replaced.
    pub const USER_ROLES_CHANGED: &str = "user.roles_changed";
    /// The user was banned.
    pub const USER_BANNED: &str = "user.banned";
    /// The ban was lifted.
    pub const USER_UNBANNED: &str = "user.unbanned";
    /// Sessions ended: a log-out, or a refresh token that was used twice.
    pub const USER_SESSIONS_REVOKED: &str = "user.sessions_revoked";
    /// An order was placed.
    pub const ORDER_CREATED: &str = "order.created";
    /// Stock is held and the payment captured.
    pub const ORDER_CONFIRMED: &str = "order.confirmed";
    /// Out of stock.
    pub const ORDER_REJECTED: &str = "order.rejected";
    /// Declined, or asked for.
    pub const ORDER_CANCELLED: &str = "order.cancelled";
    /// On its way.
    pub const ORDER_SHIPPED: &str = "order.shipped";
    /// Arrived.
    pub const ORDER_DELIVERED: &str = "order.delivered";
    /// The money was given back.
    pub const ORDER_REFUNDED: &str = "order.refunded";
    /// Stock is reserved for an order.
    pub const INVENTORY_RESERVED: &str = "inventory.reserved";
    /// A reservation ended without a sale, or sold goods came back.
    pub const INVENTORY_RELEASED: &str = "inventory.released";
    /// The goods left the shelf.
    pub const INVENTORY_COMMITTED: &str = "inventory.committed";
    /// A product joined the catalogue.
    pub const PRODUCT_CREATED: &str = "product.created";
    /// Its description changed.
    pub const PRODUCT_UPDATED: &str = "product.updated";
    /// Its price changed.
    pub const PRODUCT_PRICE_CHANGED: &str = "product.price_changed";
    /// Its counted stock was set.
    pub const PRODUCT_STOCK_CHANGED: &str = "product.stock_changed";
    /// Money was taken.
    pub const PAYMENT_CAPTURED: &str = "payment.captured";
    /// The card was declined.
    pub const PAYMENT_DECLINED: &str = "payment.declined";
    /// Money was given back.
    pub const PAYMENT_REFUNDED: &str = "payment.refunded";
    /// An inbox grew by one entry.
    pub const INBOX_APPENDED: &str = "inbox.appended";
    /// A message was posted in a room.
    pub const CHAT_MESSAGE_CREATED: &str = "chat.message_created";
    /// A user became a member of a room.
    pub const CHAT_MEMBER_JOINED: &str = "chat.member_joined";
    /// A user is a member of a room no more.
    pub const CHAT_MEMBER_LEFT: &str = "chat.member_left";
}

/// `user.*`: how the account stands after the event. Subject: the user's id.
///
/// Who the person is, their name and address, no event tells: whoever needs it asks `users.GetUser`, whose answer carries the
/// version that the event has as `aggregateversion` (docs/adr/0021).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserEvent {
    /// The user.
    pub user_id: UserId,
    /// `customer`, `support`, `admin`.
    pub roles: Vec<String>,
    /// Set while banned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban_reason: Option<String>,
    /// With `roles_changed`, `banned` and `sessions_revoked`: access tokens issued before this moment are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_before: Option<Timestamp>,
    /// With `sessions_revoked`: the one session that ended; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// The states of an order; the moves between them are the verbs of `Order` in crates/orders/src/domain/order.rs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// A cart.
    Draft,
    /// Placed, not yet decided.
    Pending,
    /// Stock reserved, money captured.
    Confirmed,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Out of stock.
    Rejected,
    /// Declined, timed out, or asked for.
    Cancelled,
    /// Money given back.
    Refunded,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Draft,
        Self::Pending,
        Self::Confirmed,
        Self::Shipped,
        Self::Delivered,
        Self::Rejected,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    /// Finds a status by its name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// One line of an order, at the price it was placed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItemData {
    /// What.
    pub sku: Sku,
    /// Its name when the order was placed.
    pub name: String,
    /// Whole units.
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Money,
    /// Price of all.
    pub line_total: Money,
}

/// `order.*`: the whole order after the event, in the shape that the REST API shows. Subject: the order's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderData {
    /// The order.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// Its state.
    pub status: OrderStatus,
    /// Its lines, in the order they were asked for.
    pub items: Vec<OrderItemData>,
    /// Sum of the lines.
    pub total: Money,
    /// Grows by one with every event.
    pub version: u64,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Why it was rejected, cancelled or refunded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// The customer's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A product and a number of units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineData {
    /// What.
    pub sku: Sku,
    /// Whole units.
    pub quantity: u32,
}

/// `inventory.*`: a reservation changed. Subject: the order's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationEvent {
    /// Whose reservation.
    pub order_id: OrderId,
    /// `held`, `pinned`, `committed`, `released`, `returned`.
    pub status: String,
    /// Its lines.
    pub items: Vec<LineData>,
}

/// `product.*`: the product after the event. Subject: the sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductEvent {
    /// What.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// Units that can be ordered.
    pub available: u64,
    /// Version of the product.
    pub version: u64,
}

/// `payment.*`: the payment after the event. Subject: the order's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// The order paid for.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// `captured`, `declined`, `partially_refunded`, `refunded`.
    pub status: String,
    /// What was charged.
    pub amount: Money,
    /// What was given back so far.
    pub refunded: Money,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_reason: Option<String>,
}

/// `inbox.appended`: one new entry, whole, so that it can be pushed without another read. Subject: the user's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InboxAppended {
    /// Whose inbox.
    pub user_id: UserId,
    /// Position: the cursor.
    pub seq: u64,
    /// Name of the inbox event, such as `order_updated`.
    pub event: String,
    /// Its payload.
    pub data: Box<RawValue>,
}

/// `chat.message_created`: the message, whole, so that it can be pushed without another read. Subject: the room's id; the
/// events of a room, of all three kinds, are counted by `aggregateversion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessageCreated {
    /// The message.
    pub id: ChatMessageId,
    /// Where it was posted.
    pub room_id: ChatRoomId,
    /// Position: gapless from 1 for each room.
    pub seq: u64,
    /// Who posted it.
    pub user_id: UserId,
    /// What it says.
    pub content: String,
    /// The sender's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// When it was posted.
    pub created_at: Timestamp,
}

/// `chat.member_*`: who joined or left. Subject: the room's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMemberEvent {
    /// Which room.
    pub room_id: ChatRoomId,
    /// Who.
    pub user_id: UserId,
}
