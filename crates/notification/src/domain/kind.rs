//! The kinds of notification.

use contracts::event_data::event_type;

/// What a notification is about; one kind for each outcome of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationKind {
    /// Paid and reserved.
    OrderConfirmed,
    /// Out of stock.
    OrderRejected,
    /// Declined, timed out, or asked for.
    OrderCancelled,
    /// On its way.
    OrderShipped,
    /// Arrived.
    OrderDelivered,
    /// The money goes back.
    OrderRefunded,
}

impl NotificationKind {
    /// Every kind, in the order in which preferences list them.
    pub const ALL: [Self; 6] = [
        Self::OrderConfirmed,
        Self::OrderRejected,
        Self::OrderCancelled,
        Self::OrderShipped,
        Self::OrderDelivered,
        Self::OrderRefunded,
    ];

    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderRejected => "order_rejected",
            Self::OrderCancelled => "order_cancelled",
            Self::OrderShipped => "order_shipped",
            Self::OrderDelivered => "order_delivered",
            Self::OrderRefunded => "order_refunded",
        }
    }

    /// Finds a kind by its name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind that an event of an order causes; `None` for an event that is no outcome.
    pub fn of_event(event_type: &str) -> Option<Self> {
        match event_type {
            event_type::ORDER_CONFIRMED => Some(Self::OrderConfirmed),
            event_type::ORDER_REJECTED => Some(Self::OrderRejected),
            event_type::ORDER_CANCELLED => Some(Self::OrderCancelled),
            event_type::ORDER_SHIPPED => Some(Self::OrderShipped),
            event_type::ORDER_DELIVERED => Some(Self::OrderDelivered),
            event_type::ORDER_REFUNDED => Some(Self::OrderRefunded),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_match_their_events() {
        for kind in NotificationKind::ALL {
            assert_eq!(NotificationKind::find(kind.as_str()), Some(kind));
            assert_eq!(NotificationKind::of_event(&kind.as_str().replacen('_', ".", 1)), Some(kind));
        }
        assert_eq!(NotificationKind::find("order_created"), None);
        assert_eq!(NotificationKind::of_event(event_type::ORDER_CREATED), None);
    }
}
