//! What an order has a right to in the stock.

use contracts::event_data::OrderStatus;

use super::order::Order;
use super::saga::{Saga, SagaState};

/// What an order wants of the stock, by all that this service knows.
///
/// Source: docs/adr/0017-rebuilding-stock-from-orders.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockClaim {
    /// Its stock is not pinned yet: the saga will ask for what it needs.
    Open,
    /// Its stock is pinned until the verdict.
    Promised,
    /// Its goods are sold.
    Sold,
    /// It has no right to any goods, or they went back to the shelf. Final.
    Free,
}

impl StockClaim {
    /// What this order wants, its saga standing there.
    pub fn of(order: &Order, saga: &Saga) -> Self {
        match order.status() {
            OrderStatus::Draft => Self::Open,
            OrderStatus::Pending => match saga.state() {
                // A pin may have been answered and not yet written down: the next round holds and pins again.
                SagaState::Priced | SagaState::Reserving => Self::Open,
                SagaState::Charging
                | SagaState::Confirming
                | SagaState::Committing
                | SagaState::Releasing
                | SagaState::Refunding
                | SagaState::Done => Self::Promised,
            },
            OrderStatus::Rejected | OrderStatus::Cancelled => Self::Free,
            OrderStatus::Refunded if saga.parts().return_stock => Self::Free,
            // Goods that had shipped before the refund stay with the customer.
            OrderStatus::Confirmed | OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded => {
                Self::Sold
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::ids::{OrderId, RefundId, UserId};
    use contracts::money::Currency;
    use contracts::{Money, Quantity, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Draft, PricedProduct};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    fn placed() -> (Order, Saga) {
        let mut draft = Draft::new(UserId::from_uuid(Uuid::from_u128(1)));
        draft.add("A".parse().unwrap(), Quantity::try_from(2).unwrap()).unwrap();
        let price = Money::new(100, Currency::USD).unwrap();
        let catalogue = [PricedProduct { sku: "A".parse().unwrap(), name: "A".to_owned(), price }];
        let id = OrderId::from_uuid(Uuid::from_u128(7));
        let (order, _) = draft.place(id, &catalogue, NOW).unwrap();
        (order, Saga::new(id, "card_ok".to_owned(), "owner".to_owned(), NOW))
    }

    fn in_state(saga: &mut Saga, states: &[SagaState]) {
        for state in states {
            saga.advance(*state).unwrap();
        }
    }

    #[test]
    fn a_pending_order_has_a_promise_from_the_moment_its_pin_is_written_down() {
        let (order, mut saga) = placed();
        assert_eq!(StockClaim::of(&order, &saga), StockClaim::Open);
        in_state(&mut saga, &[SagaState::Reserving]);
        assert_eq!(StockClaim::of(&order, &saga), StockClaim::Open);
        for state in [SagaState::Charging, SagaState::Confirming] {
            in_state(&mut saga, &[state]);
            assert_eq!(StockClaim::of(&order, &saga), StockClaim::Promised);
        }
    }

    #[test]
    fn what_was_sold_is_sold_until_it_is_back_on_the_shelf() {
        for (ship, claim) in [(false, StockClaim::Free), (true, StockClaim::Sold)] {
            let (mut order, mut saga) = placed();
            in_state(&mut saga, &[SagaState::Reserving, SagaState::Charging, SagaState::Confirming]);
            order.confirm(NOW).unwrap();
            in_state(&mut saga, &[SagaState::Committing]);
            assert_eq!(StockClaim::of(&order, &saga), StockClaim::Sold);
            if ship {
                order.ship(NOW).unwrap();
            }
            let refund = RefundId::from_uuid(Uuid::from_u128(9));
            saga.start_refund(refund, "x".to_owned(), true, !ship).unwrap();
            assert_eq!(StockClaim::of(&order, &saga), StockClaim::Sold);
            order.refund("x".to_owned(), NOW).unwrap();
            assert_eq!(StockClaim::of(&order, &saga), claim);
        }
    }

    #[test]
    fn an_order_that_ended_without_goods_has_no_claim() {
        let (mut order, saga) = placed();
        order.reject("x".to_owned(), NOW).unwrap();
        assert_eq!(StockClaim::of(&order, &saga), StockClaim::Free);
        let (mut order, saga) = placed();
        order.cancel("x".to_owned(), NOW).unwrap();
        assert_eq!(StockClaim::of(&order, &saga), StockClaim::Free);
    }
}
