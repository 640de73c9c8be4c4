//! Orders and their events.

use contracts::event::EventHead;
use contracts::event_data::{OrderData, OrderItemData, OrderStatus, UserEvent, event_type};
use contracts::ids::{OrderId, UserId};
use contracts::money::Currency;
use contracts::{Event, Money, Timestamp};
use uuid::Uuid;

/// The moment at which tests begin.
/// Far from now: a server that deletes by its own clock (TTL indexes of MongoDB) must not take part in a test.
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(4_102_444_800_000);

pub(crate) fn new_user() -> UserId {
    UserId::from_uuid(Uuid::new_v4())
}

pub(crate) fn new_order() -> OrderId {
    OrderId::from_uuid(Uuid::new_v4())
}

pub(crate) fn order(id: OrderId, user_id: UserId, status: OrderStatus, version: u64) -> OrderData {
    let price = Money::new(1999, Currency::USD).unwrap();
    let total = price.checked_mul(2).unwrap();
    let item = OrderItemData {
        sku: "TEA-1".parse().unwrap(),
        name: "Mint Tea".to_owned(),
        quantity: 2,
        unit_price: price,
        line_total: total,
    };
    OrderData {
        id,
        user_id,
        status,
        items: vec![item],
        total,
        version,
        created_at: START,
        updated_at: START,
        reason: (status == OrderStatus::Cancelled).then(|| "the card was declined".to_owned()),
        shipping_address: None,
        note: None,
    }
}

/// `order.<status>`, `order.created` for a pending one.
pub(crate) fn order_event(order: &OrderData) -> Event {
    let name = if order.status == OrderStatus::Pending { "created" } else { order.status.as_str() };
    let event_type = format!("order.{name}");
    let head = EventHead {
        id: Uuid::new_v4(),
        service: "orders",
        event_type: &event_type,
        subject: order.id.to_string(),
        time: START,
        aggregate_version: order.version,
        traceparent: None,
        request_id: Some("request-of-the-order".to_owned()),
    };
    Event::new(head, order).unwrap()
}

/// The events of one order, in their order; versions from 1.
pub(crate) fn history(id: OrderId, user_id: UserId, statuses: &[OrderStatus]) -> Vec<Event> {
    let orders = (1..).zip(statuses).map(|(version, status)| order(id, user_id, *status, version));
    orders.map(|order| order_event(&order)).collect()
}

/// `user.updated`.
pub(crate) fn user_updated(user_id: UserId, version: u64) -> Event {
    let data = UserEvent {
        user_id,
        roles: vec!["customer".to_owned()],
        ban_reason: None,
        revoked_before: None,
        session_id: None,
    };
    let head = EventHead {
        id: Uuid::new_v4(),
        service: "users",
        event_type: event_type::USER_UPDATED,
        subject: user_id.to_string(),
        time: START,
        aggregate_version: version,
        traceparent: None,
        request_id: None,
    };
    Event::new(head, &data).unwrap()
}
