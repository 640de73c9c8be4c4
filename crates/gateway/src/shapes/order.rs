//! Orders.

use contracts::Timestamp;
use contracts::event_data::OrderStatus;
use contracts::grpc::orders;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BadAnswer, Money, PageLimit, whole_number};

/// The states of an order, as the API names them.
const STATUSES: &str = "draft, pending, confirmed, shipped, delivered, rejected, cancelled or refunded";

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    /// Its id.
    #[schema(format = Uuid, example = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub id: String,
    /// Whose it is.
    #[schema(format = Uuid)]
    pub user_id: String,
    /// `pending`, `confirmed`, `shipped`, `delivered`, `rejected`, `cancelled` or `refunded`.
    #[schema(example = "confirmed")]
    pub status: &'static str,
    /// Its lines, in the order they were asked for.
    pub items: Vec<OrderItem>,
    /// Sum of the lines.
    pub total: Money,
    /// Grows by one with every change.
    pub version: u64,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Why it was rejected, cancelled or refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shipping_address: Option<String>,
    /// The customer's note.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

/// One line of an order, at the price it was placed with.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderItem {
    /// What.
    #[schema(example = "TEA-001")]
    pub sku: String,
    /// Its name when the order was placed.
    pub name: String,
    /// Whole units.
    #[schema(example = 2)]
    pub quantity: u32,
    /// Price of one.
    pub unit_price: Money,
    /// Price of all.
    pub line_total: Money,
}

impl TryFrom<orders::Order> for Order {
    type Error = BadAnswer;

    fn try_from(order: orders::Order) -> Result<Self, BadAnswer> {
        let items = order.items.into_iter().map(|item| {
            Ok(OrderItem {
                sku: item.sku,
                name: item.name,
                quantity: item.quantity,
                unit_price: item.unit_price.try_into()?,
                line_total: item.line_total.try_into()?,
            })
        });
        Ok(Self {
            status: status_name(order.status)?,
            items: items.collect::<Result<_, BadAnswer>>()?,
            id: order.id,
            user_id: order.user_id,
            total: order.total.try_into()?,
            version: order.version,
            created_at: Timestamp::from_unix_ms(order.created_at_unix_ms),
            updated_at: Timestamp::from_unix_ms(order.updated_at_unix_ms),
            reason: order.reason,
            shipping_address: order.shipping_address,
            note: order.note,
        })
    }
}

/// One thing that happened to an order.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// The state it came to.
    #[schema(example = "confirmed")]
    pub status: &'static str,
    /// The version it came to.
    pub version: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// Why, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

impl TryFrom<orders::TimelineEntry> for TimelineEntry {
    type Error = BadAnswer;

    fn try_from(entry: orders::TimelineEntry) -> Result<Self, BadAnswer> {
        Ok(Self {
            status: status_name(entry.status)?,
            version: entry.version,
            occurred_at: Timestamp::from_unix_ms(entry.occurred_at_unix_ms),
            reason: entry.reason,
        })
    }
}

fn status_name(status: i32) -> Result<&'static str, BadAnswer> {
    use orders::OrderStatus as Wire;
    let status = match Wire::try_from(status) {
        Ok(Wire::Draft) => OrderStatus::Draft,
        Ok(Wire::Pending) => OrderStatus::Pending,
        Ok(Wire::Confirmed) => OrderStatus::Confirmed,
        Ok(Wire::Shipped) => OrderStatus::Shipped,
        Ok(Wire::Delivered) => OrderStatus::Delivered,
        Ok(Wire::Rejected) => OrderStatus::Rejected,
        Ok(Wire::Cancelled) => OrderStatus::Cancelled,
        Ok(Wire::Refunded) => OrderStatus::Refunded,
        Ok(Wire::Unspecified) | Err(_) => return Err(BadAnswer("an order in a state that is none")),
    };
    Ok(status.as_str())
}

fn status_of_wire(status: OrderStatus) -> orders::OrderStatus {
    match status {
        OrderStatus::Draft => orders::OrderStatus::Draft,
        OrderStatus::Pending => orders::OrderStatus::Pending,
        OrderStatus::Confirmed => orders::OrderStatus::Confirmed,
        OrderStatus::Shipped => orders::OrderStatus::Shipped,
        OrderStatus::Delivered => orders::OrderStatus::Delivered,
        OrderStatus::Rejected => orders::OrderStatus::Rejected,
        OrderStatus::Cancelled => orders::OrderStatus::Cancelled,
        OrderStatus::Refunded => orders::OrderStatus::Refunded,
    }
}

/// What to order. Prices come from the catalogue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"sku": "TEA-001", "quantity": 2}], "payment_method": "card_ok"}))]
pub struct PlaceOrder {
    /// At least one.
    pub items: Vec<RequestedItem>,
    /// In the sandbox: `card_ok`, `card_declined`, `card_insufficient_funds`, `card_slow`, `card_timeout_captured`,
    /// `card_timeout_declined`.
    #[schema(example = "card_ok")]
    pub payment_method: String,
    /// Where it goes.
    #[schema(nullable = false)]
    pub shipping_address: Option<String>,
    /// For whoever packs it.
    #[schema(nullable = false)]
    pub note: Option<String>,
}

/// A product and how many of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedItem {
    /// What.
    #[schema(example = "TEA-001")]
    pub sku: String,
    /// Whole units.
    #[serde(deserialize_with = "whole_number::quantity")]
    #[schema(minimum = 1, maximum = 10000, example = 2)]
    pub quantity: u32,
}

impl PlaceOrder {
    /// The call to orders.
    pub fn into_request(self, idempotency_key: Option<String>) -> orders::PlaceOrderRequest {
        let items = self.items.into_iter().map(|item| orders::RequestedItem { sku: item.sku, quantity: item.quantity });
        orders::PlaceOrderRequest {
            items: items.collect(),
            payment_method: self.payment_method,
            shipping_address: self.shipping_address,
            note: self.note,
            idempotency_key,
        }
    }
}

/// Why an order is cancelled or refunded.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// In words.
    #[schema(nullable = false, example = "ordered the wrong size")]
    pub reason: Option<String>,
}

/// No content: the body may be left out or be an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyBody {}

/// Which orders to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// Orders on a page, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub limit: PageLimit,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Comma-separated; orders in any of these states.
    #[param(value_type = Vec<String>, explode = false, example = json!(["confirmed"]))]
    pub status: Vec<StatusName>,
    /// For staff: whose orders.
    #[param(format = Uuid)]
    pub user_id: Option<String>,
}

/// The name of a state, as a query parameter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct StatusName(OrderStatus);

impl TryFrom<String> for StatusName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        OrderStatus::find(&name).map(Self).ok_or_else(|| format!("must be {STATUSES}"))
    }
}

impl OrderQuery {
    /// The call to orders.
    pub fn into_request(self) -> orders::ListOrdersRequest {
        orders::ListOrdersRequest {
            user_id: self.user_id,
            statuses: self.status.into_iter().map(|StatusName(status)| status_of_wire(status).into()).collect(),
            limit: self.limit.to_wire(),
            cursor: self.cursor.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_the_same_name_here_and_in_the_events() {
        for status in OrderStatus::ALL {
            assert_eq!(status_name(status_of_wire(status).into()), Ok(status.as_str()));
        }
        assert!(status_name(0).is_err() && status_name(99).is_err());
    }
}
