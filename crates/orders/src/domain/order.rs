//! The order aggregate.

use contracts::event_data::{OrderData, OrderStatus, event_type};
use contracts::ids::{OrderId, UserId};
use contracts::{Money, Timestamp};

use super::error::IllegalTransition;
use super::line_item::LineItem;

/// What a placed order is made of.
#[derive(Clone, Debug)]
pub struct OrderParts {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// At least one.
    pub items: Vec<LineItem>,
    /// Their sum.
    pub total: Money,
    /// Where it goes.
    pub shipping_address: Option<String>,
    /// What else the customer said.
    pub note: Option<String>,
    /// When it was placed.
    pub created_at: Timestamp,
}

/// Something that happened to an order: the routing key and the order as it was right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// `order.confirmed` and its like.
    pub event_type: &'static str,
    /// The whole order after the event.
    pub data: OrderData,
}

/// A placed order: `pending → confirmed → shipped → delivered`, or `rejected`, `cancelled`, `refunded`.
///
/// Changes only through its verbs; each returns the event that happened and adds one to the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    id: OrderId,
    user_id: UserId,
    status: OrderStatus,
    items: Vec<LineItem>,
    total: Money,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    reason: Option<String>,
    shipping_address: Option<String>,
    note: Option<String>,
}

impl Order {
    /// A draft was placed; see [`super::Draft::place`].
    pub(super) fn placed(parts: OrderParts) -> (Self, OrderEvent) {
        let order = Self {
            id: parts.id,
            user_id: parts.user_id,
            status: OrderStatus::Pending,
            items: parts.items,
            total: parts.total,
            version: 1,
            created_at: parts.created_at,
            updated_at: parts.created_at,
            reason: None,
            shipping_address: parts.shipping_address,
            note: parts.note,
        };
        let event = order.event(event_type::ORDER_CREATED);
        (order, event)
    }

    /// Stock is pinned and the payment captured: `pending → confirmed`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn confirm(&mut self, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(&[OrderStatus::Pending], OrderStatus::Confirmed, event_type::ORDER_CONFIRMED, None, now)
    }

    /// Out of stock: `pending → rejected`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn reject(&mut self, reason: String, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(&[OrderStatus::Pending], OrderStatus::Rejected, event_type::ORDER_REJECTED, Some(reason), now)
    }

    /// Declined, or asked for before shipping: `pending | confirmed → cancelled`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn cancel(&mut self, reason: String, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(
            &[OrderStatus::Pending, OrderStatus::Confirmed],
            OrderStatus::Cancelled,
            event_type::ORDER_CANCELLED,
            Some(reason),
            now,
        )
    }

    /// On its way: `confirmed → shipped`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn ship(&mut self, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(&[OrderStatus::Confirmed], OrderStatus::Shipped, event_type::ORDER_SHIPPED, None, now)
    }

    /// Arrived: `shipped → delivered`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn deliver(&mut self, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(&[OrderStatus::Shipped], OrderStatus::Delivered, event_type::ORDER_DELIVERED, None, now)
    }

    /// The money was given back: `confirmed | shipped | delivered → refunded`.
    ///
    /// # Errors
    /// [`IllegalTransition`].
    pub fn refund(&mut self, reason: String, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        self.transition(
            &[OrderStatus::Confirmed, OrderStatus::Shipped, OrderStatus::Delivered],
            OrderStatus::Refunded,
            event_type::ORDER_REFUNDED,
            Some(reason),
            now,
        )
    }

    fn transition(
        &mut self,
        allowed_from: &[OrderStatus],
        to: OrderStatus,
        event_type: &'static str,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<OrderEvent, IllegalTransition> {
        if !allowed_from.contains(&self.status) {
            return Err(IllegalTransition { from: self.status, to });
        }
        self.status = to;
        self.version += 1;
        // Clocks may step back; what happened later is never dated earlier.
        self.updated_at = now.max(self.updated_at);
        self.reason = reason.or_else(|| self.reason.take());
        Ok(self.event(event_type))
    }

    fn event(&self, event_type: &'static str) -> OrderEvent {
        OrderEvent { event_type, data: self.to_data() }
    }

    /// The order as events, stores and clients see it.
    pub fn to_data(&self) -> OrderData {
        OrderData {
            id: self.id,
            user_id: self.user_id,
            status: self.status,
            items: self.items.iter().map(LineItem::to_data).collect(),
            total: self.total,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            reason: self.reason.clone(),
            shipping_address: self.shipping_address.clone(),
            note: self.note.clone(),
        }
    }

    /// The order from what a store holds; `None` if that is no order that ever was (a draft, a bad quantity, no lines).
    pub fn from_data(data: OrderData) -> Option<Self> {
        let items = data.items.into_iter().map(LineItem::from_data).collect::<Option<Vec<_>>>()?;
        if items.is_empty() || data.status == OrderStatus::Draft || data.version == 0 {
            return None;
        }
        Some(Self {
            id: data.id,
            user_id: data.user_id,
            status: data.status,
            items,
            total: data.total,
            version: data.version,
            created_at: data.created_at,
            updated_at: data.updated_at,
            reason: data.reason,
            shipping_address: data.shipping_address,
            note: data.note,
        })
    }

    /// Its id.
    pub const fn id(&self) -> OrderId {
        self.id
    }

    /// Whose it is.
    pub const fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Its state.
    pub const fn status(&self) -> OrderStatus {
        self.status
    }

    /// Its lines.
    pub fn items(&self) -> &[LineItem] {
        &self.items
    }

    /// When it was placed.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The sum of its lines.
    pub const fn total(&self) -> Money {
        self.total
    }

    /// How many events it has.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether it is or ever was confirmed.
    pub const fn was_confirmed(&self) -> bool {
        match self.status {
            OrderStatus::Draft | OrderStatus::Pending | OrderStatus::Rejected => false,
            OrderStatus::Confirmed | OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded => true,
            // Straight from pending, cancelling is the second change; by way of confirmed, the third.
            OrderStatus::Cancelled => self.version > 2,
        }
    }

    /// Why it was rejected, cancelled or refunded.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::Currency;
    use contracts::{Quantity, Sku};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::PricedProduct;

    #[derive(Clone, Copy, Debug)]
    enum Verb {
        Confirm,
        Reject,
        Cancel,
        Ship,
        Deliver,
        Refund,
    }

    const VERBS: [Verb; 6] = [Verb::Confirm, Verb::Reject, Verb::Cancel, Verb::Ship, Verb::Deliver, Verb::Refund];

    fn apply(order: &mut Order, verb: Verb, now: Timestamp) -> Result<OrderEvent, IllegalTransition> {
        match verb {
            Verb::Confirm => order.confirm(now),
            Verb::Reject => order.reject("out of stock".to_owned(), now),
            Verb::Cancel => order.cancel("asked for".to_owned(), now),
            Verb::Ship => order.ship(now),
            Verb::Deliver => order.deliver(now),
            Verb::Refund => order.refund("asked for".to_owned(), now),
        }
    }

    fn pending() -> Order {
        let price = Money::new(100, Currency::USD).unwrap();
        let product = PricedProduct { sku: "A".parse::<Sku>().unwrap(), name: "A".to_owned(), price };
        let item = LineItem::new(&product, Quantity::try_from(2).unwrap()).unwrap();
        Order::placed(OrderParts {
            id: OrderId::from_uuid(Uuid::from_u128(1)),
            user_id: UserId::from_uuid(Uuid::from_u128(2)),
            total: item.line_total,
            items: vec![item],
            shipping_address: None,
            note: None,
            created_at: Timestamp::from_unix_ms(1000),
        })
        .0
    }

    /// An order in this state, by the shortest way.
    fn in_state(status: OrderStatus) -> Order {
        let way: &[Verb] = match status {
            OrderStatus::Draft => unreachable!("a draft is no order"),
            OrderStatus::Pending => &[],
            OrderStatus::Confirmed => &[Verb::Confirm],
            OrderStatus::Shipped => &[Verb::Confirm, Verb::Ship],
            OrderStatus::Delivered => &[Verb::Confirm, Verb::Ship, Verb::Deliver],
            OrderStatus::Rejected => &[Verb::Reject],
            OrderStatus::Cancelled => &[Verb::Cancel],
            OrderStatus::Refunded => &[Verb::Confirm, Verb::Refund],
        };
        let mut order = pending();
        for verb in way {
            apply(&mut order, *verb, Timestamp::from_unix_ms(2000)).unwrap();
        }
        assert_eq!(order.status(), status);
        order
    }

    #[test]
    fn exactly_the_documented_transitions_are_legal() {
        use OrderStatus::*;
        let legal = |from, verb| {
            matches!(
                (from, verb),
                (Pending, Verb::Confirm | Verb::Reject | Verb::Cancel)
                    | (Confirmed, Verb::Cancel | Verb::Ship | Verb::Refund)
                    | (Shipped, Verb::Deliver | Verb::Refund)
                    | (Delivered, Verb::Refund)
            )
        };
        for from in OrderStatus::ALL.into_iter().filter(|status| *status != Draft) {
            for verb in VERBS {
                let mut order = in_state(from);
                let before = order.clone();
                let result = apply(&mut order, verb, Timestamp::from_unix_ms(3000));
                assert_eq!(result.is_ok(), legal(from, verb), "{from:?} {verb:?}");
                if result.is_err() {
                    assert_eq!(order, before, "a refused {verb:?} must change nothing");
                }
            }
        }
    }

    #[test]
    fn time_never_runs_backwards_in_an_order() {
        let mut order = pending();
        order.confirm(Timestamp::from_unix_ms(1)).unwrap();
        assert_eq!(order.to_data().updated_at, Timestamp::from_unix_ms(1000));
    }

    proptest! {
        #[test]
        fn versions_count_events_and_a_stored_order_is_the_same_order(
            verbs in prop::collection::vec(prop::sample::select(VERBS.to_vec()), 0..12)
        ) {
            let mut order = pending();
            let mut events = 1;
            for (n, verb) in verbs.into_iter().enumerate() {
                if let Ok(event) = apply(&mut order, verb, Timestamp::from_unix_ms(2000 + n as i64)) {
                    events += 1;
                    prop_assert_eq!(&event.data, &order.to_data());
                }
                prop_assert_eq!(order.version(), events);
                prop_assert_eq!(Order::from_data(order.to_data()), Some(order.clone()));
            }
        }
    }
}
