//! A draft: the cart, the only form of an order that can be changed.

use contracts::ids::{OrderId, UserId};
use contracts::money::{Currency, MoneyError};
use contracts::{Money, Quantity, Sku, Timestamp};

use super::error::{DraftError, PlaceError};
use super::line_item::{LineItem, PricedProduct};
use super::order::{Order, OrderEvent, OrderParts};

/// Most lines of an order.
pub const MAX_LINES: usize = 100;

/// What a customer means to order; prices are not part of it.
///
/// A type of its own, so that changing an order that was placed does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    user_id: UserId,
    lines: Vec<(Sku, Quantity)>,
    shipping_address: Option<String>,
    note: Option<String>,
}

impl Draft {
    /// An empty cart.
    pub fn new(user_id: UserId) -> Self {
        Self { user_id, lines: Vec::new(), shipping_address: None, note: None }
    }

    /// Says where it goes and what else the customer wants to say.
    pub fn with_details(mut self, shipping_address: Option<String>, note: Option<String>) -> Self {
        self.shipping_address = shipping_address;
        self.note = note;
        self
    }

    /// The lines, in the order they were added.
    pub fn lines(&self) -> &[(Sku, Quantity)] {
        &self.lines
    }

    /// Adds units; more of what is there already makes one line.
    ///
    /// # Errors
    /// [`DraftError::TooManyLines`], [`DraftError::Quantity`]; the draft is unchanged.
    pub fn add(&mut self, sku: Sku, quantity: Quantity) -> Result<(), DraftError> {
        if let Some((_, there)) = self.lines.iter_mut().find(|(line, _)| *line == sku) {
            *there = Quantity::try_from(there.get() + quantity.get())?;
            return Ok(());
        }
        if self.lines.len() == MAX_LINES {
            return Err(DraftError::TooManyLines);
        }
        self.lines.push((sku, quantity));
        Ok(())
    }

    /// Sets the units of a line.
    ///
    /// # Errors
    /// [`DraftError::NotThere`].
    pub fn change(&mut self, sku: &Sku, quantity: Quantity) -> Result<(), DraftError> {
        let line =
            self.lines.iter_mut().find(|(line, _)| line == sku).ok_or_else(|| DraftError::NotThere(sku.clone()))?;
        line.1 = quantity;
        Ok(())
    }

    /// Takes a line out.
    ///
    /// # Errors
    /// [`DraftError::NotThere`].
    pub fn remove(&mut self, sku: &Sku) -> Result<(), DraftError> {
        let at =
            self.lines.iter().position(|(line, _)| line == sku).ok_or_else(|| DraftError::NotThere(sku.clone()))?;
        self.lines.remove(at);
        Ok(())
    }

    /// Places the order at the prices of `catalogue`: `draft → pending`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn place(
        self,
        id: OrderId,
        catalogue: &[PricedProduct],
        now: Timestamp,
    ) -> Result<(Order, OrderEvent), PlaceError> {
        let find = |sku: &Sku| catalogue.iter().find(|product| product.sku == *sku);
        let unknown: Vec<Sku> =
            self.lines.iter().filter(|(sku, _)| find(sku).is_none()).map(|(sku, _)| sku.clone()).collect();
        if !unknown.is_empty() {
            return Err(PlaceError::UnknownProducts(unknown));
        }
        let items = self
            .lines
            .iter()
            .filter_map(|(sku, quantity)| find(sku).map(|product| LineItem::new(product, *quantity)))
            .collect::<Result<Vec<_>, MoneyError>>()
            .map_err(PlaceError::Total)?;
        let currency: Currency = items.first().ok_or(PlaceError::Empty)?.unit_price.currency();
        let total = items
            .iter()
            .try_fold(Money::zero(currency), |sum, item| sum.checked_add(item.line_total))
            .map_err(PlaceError::Total)?;
        Ok(Order::placed(OrderParts {
            id,
            user_id: self.user_id,
            items,
            total,
            shipping_address: self.shipping_address,
            note: self.note,
            created_at: now,
        }))
    }
}

#[cfg(test)]
mod tests {
    use contracts::event_data::OrderStatus;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn draft() -> Draft {
        Draft::new(UserId::from_uuid(Uuid::from_u128(1)))
    }

    fn sku(n: usize) -> Sku {
        format!("SKU-{n}").parse().unwrap()
    }

    fn quantity(n: u32) -> Quantity {
        Quantity::try_from(n).unwrap()
    }

    fn product(n: usize, price: i64, currency: &str) -> PricedProduct {
        let price = Money::new(price, Currency::parse(currency).unwrap()).unwrap();
        PricedProduct { sku: sku(n), name: format!("Product {n}"), price }
    }

    fn place(draft: Draft, catalogue: &[PricedProduct]) -> Result<(Order, OrderEvent), PlaceError> {
        draft.place(OrderId::from_uuid(Uuid::from_u128(2)), catalogue, Timestamp::from_unix_ms(5))
    }

    #[test]
    fn an_empty_draft_can_not_be_placed() {
        assert_eq!(place(draft(), &[product(1, 100, "USD")]).unwrap_err(), PlaceError::Empty);
    }

    #[test]
    fn unknown_products_are_all_named() {
        let mut draft = draft();
        for n in 1..=3 {
            draft.add(sku(n), quantity(1)).unwrap();
        }
        let refused = place(draft, &[product(2, 100, "USD")]).unwrap_err();
        assert_eq!(refused, PlaceError::UnknownProducts(vec![sku(1), sku(3)]));
    }

    #[test]
    fn currencies_can_not_be_mixed_and_totals_can_not_overflow() {
        let mut mixed = draft();
        mixed.add(sku(1), quantity(1)).unwrap();
        mixed.add(sku(2), quantity(1)).unwrap();
        let catalogue = [product(1, 100, "USD"), product(2, 100, "EUR")];
        assert!(matches!(place(mixed, &catalogue), Err(PlaceError::Total(MoneyError::MixedCurrencies(..)))));
        let mut huge = draft();
        huge.add(sku(1), quantity(10_000)).unwrap();
        let catalogue = [product(1, contracts::money::MAX_AMOUNT_MINOR, "USD")];
        assert_eq!(place(huge, &catalogue).unwrap_err(), PlaceError::Total(MoneyError::OutOfRange));
    }

    #[test]
    fn a_draft_changes_line_by_line() {
        let mut draft = draft();
        draft.add(sku(1), quantity(1)).unwrap();
        draft.add(sku(1), quantity(2)).unwrap();
        draft.add(sku(2), quantity(1)).unwrap();
        draft.change(&sku(2), quantity(7)).unwrap();
        assert_eq!(draft.lines(), [(sku(1), quantity(3)), (sku(2), quantity(7))]);
        draft.remove(&sku(1)).unwrap();
        assert_eq!(draft.remove(&sku(1)), Err(DraftError::NotThere(sku(1))));
        assert_eq!(draft.change(&sku(1), quantity(1)), Err(DraftError::NotThere(sku(1))));
        assert!(matches!(draft.add(sku(2), quantity(10_000)), Err(DraftError::Quantity(_))));
        for n in 3..3 + MAX_LINES - 1 {
            draft.add(sku(n), quantity(1)).unwrap();
        }
        assert_eq!(draft.add(sku(1), quantity(1)), Err(DraftError::TooManyLines));
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_quantity_times_price(lines in prop::collection::vec((1_u32..100, 0_i64..1_000_000), 1..20)) {
            let mut draft = draft();
            let mut catalogue = Vec::new();
            let mut expected = 0;
            for (n, (units, price)) in lines.iter().enumerate() {
                draft.add(sku(n), quantity(*units)).unwrap();
                catalogue.push(product(n, *price, "USD"));
                expected += i64::from(*units) * price;
            }
            let (order, event) = place(draft, &catalogue).unwrap();
            prop_assert_eq!(order.total().amount_minor(), expected);
            prop_assert_eq!((order.status(), order.version()), (OrderStatus::Pending, 1));
            prop_assert_eq!(event.data.total, order.total());
        }
    }
}
