//! Units of one product, and what happens to them.

use contracts::Sku;

use super::lines::Line;
use super::values::Count;

/// Units of one product: on hand, of which some are reserved for orders.
///
/// `reserved <= on_hand` always, so that no unit is promised twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stock {
    on_hand: u64,
    reserved: u64,
}

/// What a store holds can't be: more reserved than on hand, or fewer units than a reservation says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stock contradicts its reservations")]
pub struct StockMismatch;

/// Fewer units would be on hand than are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} on hand wanted, {reserved} reserved")]
pub struct BelowReserved {
    /// Units that were to be on hand.
    pub wanted: u64,
    /// Units reserved.
    pub reserved: u64,
}

impl Stock {
    /// What a store holds.
    ///
    /// # Errors
    /// [`StockMismatch`] when more is reserved than is on hand.
    pub fn from_stored(on_hand: u64, reserved: u64) -> Result<Self, StockMismatch> {
        if reserved > on_hand { Err(StockMismatch) } else { Ok(Self { on_hand, reserved }) }
    }

    /// Units on the shelf.
    pub const fn on_hand(self) -> u64 {
        self.on_hand
    }

    /// Units on the shelf that are promised to orders.
    pub const fn reserved(self) -> u64 {
        self.reserved
    }

    /// Units that can be ordered.
    pub const fn available(self) -> u64 {
        self.on_hand - self.reserved
    }

    /// Sets what was counted; what is reserved stays reserved. Returns the difference to what was on hand.
    ///
    /// # Errors
    /// [`BelowReserved`].
    pub fn count(&mut self, wanted: Count) -> Result<i64, BelowReserved> {
        let wanted = wanted.units();
        if wanted < self.reserved {
            return Err(BelowReserved { wanted, reserved: self.reserved });
        }
        let before = self.on_hand;
        self.on_hand = wanted;
        Ok(wanted as i64 - before as i64)
    }

    /// Promises units to an order; `false`, and nothing changed, when fewer are available.
    fn reserve(&mut self, units: u64) -> bool {
        let enough = units <= self.available();
        if enough {
            self.reserved += units;
        }
        enough
    }

    fn unreserve(&mut self, units: u64) -> Result<(), StockMismatch> {
        self.reserved = self.reserved.checked_sub(units).ok_or(StockMismatch)?;
        Ok(())
    }

    fn ship(&mut self, units: u64) -> Result<(), StockMismatch> {
        self.unreserve(units)?;
        self.on_hand = self.on_hand.checked_sub(units).ok_or(StockMismatch)?;
        Ok(())
    }

    fn take_back(&mut self, units: u64) -> Result<(), StockMismatch> {
        self.on_hand = self.on_hand.checked_add(units).ok_or(StockMismatch)?;
        Ok(())
    }
}

/// What a reservation's change of state does to the stock of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockEffect {
    /// Units are promised.
    Reserve,
    /// The promise is taken back.
    Unreserve,
    /// The promised units leave the shelf.
    Commit,
    /// Units that left come back.
    Return,
    /// Units that nobody was promised leave the shelf.
    Sell,
}

/// A kind of entry in the stock ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// Someone counted, or goods came in.
    Counted,
    /// Sold.
    Committed,
    /// Came back.
    Returned,
}

impl MovementKind {
    /// The name in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Committed => "committed",
            Self::Returned => "returned",
        }
    }
}

impl StockEffect {
    /// Whether it only gives units back: the end of a promise or of a sale. Such an effect passes over what is not in the
    /// catalogue (any more), as there is no shelf to put it on: an order ends whatever became of the product.
    pub const fn gives_back(self) -> bool {
        match self {
            Self::Unreserve | Self::Return => true,
            Self::Reserve | Self::Commit | Self::Sell => false,
        }
    }

    /// How units on hand change, as an entry of the ledger; `None` where none moves.
    pub fn movement(self, line: &Line) -> Option<(MovementKind, i64)> {
        let units = i64::from(line.quantity.get());
        match self {
            Self::Reserve | Self::Unreserve => None,
            Self::Commit | Self::Sell => Some((MovementKind::Committed, -units)),
            Self::Return => Some((MovementKind::Returned, units)),
        }
    }
}

/// One item of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What.
    pub sku: Sku,
    /// Units wanted.
    pub requested: u32,
    /// Units that can be ordered; 0 for what is not in the catalogue.
    pub available: u64,
}

/// Why an effect could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectError {
    /// Not enough of these; nothing was reserved.
    Short(Vec<Shortage>),
    /// The stock of this product contradicts its reservations: a damaged store.
    Mismatch(Sku),
}

/// The stock behind one line of a reservation; `None` when the product is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShelfLine {
    /// What is wanted, promised or sold.
    pub line: Line,
    /// What there is.
    pub stock: Option<Stock>,
}

/// Applies an effect to the stock of every line, or to none. A line without stock that passes is one whose units are given
/// back ([`StockEffect::gives_back`]): neither counters nor ledger know of them then.
///
/// # Errors
/// [`EffectError`]; `shelf` is then not to be saved.
pub fn apply(effect: StockEffect, shelf: &mut [ShelfLine]) -> Result<(), EffectError> {
    if let StockEffect::Reserve | StockEffect::Sell = effect {
        return take_all(effect, shelf);
    }
    for ShelfLine { line, stock } in shelf {
        let units = u64::from(line.quantity.get());
        let changed = match (effect, stock.as_mut()) {
            (effect, None) if effect.gives_back() => Ok(()),
            (_, None) => Err(StockMismatch),
            (StockEffect::Reserve | StockEffect::Sell | StockEffect::Unreserve, Some(stock)) => stock.unreserve(units),
            (StockEffect::Commit, Some(stock)) => stock.ship(units),
            (StockEffect::Return, Some(stock)) => stock.take_back(units),
        };
        changed.map_err(|StockMismatch| EffectError::Mismatch(line.sku.clone()))?;
    }
    Ok(())
}

/// Units that were sold and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// What.
    pub sku: Sku,
    /// How many were missing; all that were sold of what is not in the catalogue.
    pub units: u64,
}

/// Books what is missing of every line as found, so that it can be taken: nothing goes below zero, and the ledger says what
/// the books did not have. What is not in the catalogue gets a stock of as much, which is not to be saved.
pub fn cover(shelf: &mut [ShelfLine]) -> Vec<Uncovered> {
    let mut uncovered = Vec::new();
    for ShelfLine { line, stock } in shelf {
        let wanted = u64::from(line.quantity.get());
        let stock = stock.get_or_insert_default();
        let units = wanted.saturating_sub(stock.available());
        if units > 0 {
            stock.on_hand = stock.on_hand.saturating_add(units);
            uncovered.push(Uncovered { sku: line.sku.clone(), units });
        }
    }
    uncovered
}

fn take_all(effect: StockEffect, shelf: &mut [ShelfLine]) -> Result<(), EffectError> {
    let mut missing = Vec::new();
    for ShelfLine { line, stock } in shelf {
        let requested = line.quantity.get();
        let taken = stock.as_mut().is_some_and(|stock| {
            let reserved = stock.reserve(u64::from(requested));
            reserved && (effect == StockEffect::Reserve || stock.ship(u64::from(requested)).is_ok())
        });
        if !taken {
            let available = stock.map_or(0, Stock::available);
            missing.push(Shortage { sku: line.sku.clone(), requested, available });
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(EffectError::Short(missing)) }
}

#[cfg(test)]
mod tests {
    use contracts::Quantity;

    use super::*;

    fn shelf_line(sku: &str, wanted: u32, stock: Option<(u64, u64)>) -> ShelfLine {
        ShelfLine {
            line: Line { sku: sku.parse().unwrap(), quantity: Quantity::try_from(wanted).unwrap() },
            stock: stock.map(|(on_hand, reserved)| Stock::from_stored(on_hand, reserved).unwrap()),
        }
    }

    #[test]
    fn every_short_item_is_named_and_unknown_ones_count_as_none() {
        let mut shelf = [shelf_line("A", 2, Some((5, 3))), shelf_line("B", 3, Some((5, 3))), shelf_line("C", 1, None)];
        let short = |sku: &str, requested, available| Shortage { sku: sku.parse().unwrap(), requested, available };
        assert_eq!(
            apply(StockEffect::Reserve, &mut shelf),
            Err(EffectError::Short(vec![short("B", 3, 2), short("C", 1, 0)]))
        );
    }

    #[test]
    fn effects_move_units_between_shelf_promise_and_customer() {
        let mut shelf = [shelf_line("A", 2, Some((5, 0)))];
        let mut after = |effect| {
            apply(effect, &mut shelf).unwrap();
            shelf[0].stock.map(|stock| (stock.on_hand(), stock.reserved())).unwrap()
        };
        assert_eq!(after(StockEffect::Reserve), (5, 2));
        assert_eq!(after(StockEffect::Unreserve), (5, 0));
        assert_eq!(after(StockEffect::Reserve), (5, 2));
        assert_eq!(after(StockEffect::Commit), (3, 0));
        assert_eq!(after(StockEffect::Return), (5, 0));
    }

    #[test]
    fn a_promise_that_was_never_made_can_not_be_taken_back_or_sold() {
        for effect in [StockEffect::Unreserve, StockEffect::Commit] {
            let mut shelf = [shelf_line("A", 2, Some((5, 1)))];
            assert_eq!(apply(effect, &mut shelf), Err(EffectError::Mismatch("A".parse().unwrap())), "{effect:?}");
        }
        assert_eq!(Stock::from_stored(1, 2), Err(StockMismatch));
    }

    #[test]
    fn what_is_given_back_of_an_unknown_product_does_not_keep_the_rest_from_their_shelves() {
        for (effect, after) in [(StockEffect::Unreserve, (5, 1)), (StockEffect::Return, (7, 3))] {
            let mut shelf = [shelf_line("GONE", 2, None), shelf_line("A", 2, Some((5, 3)))];
            apply(effect, &mut shelf).unwrap();
            let after = [None, Some(Stock::from_stored(after.0, after.1).unwrap())];
            assert_eq!(shelf.map(|line| line.stock), after, "{effect:?}");
        }
        let mut unknown = [shelf_line("GONE", 2, None)];
        assert_eq!(apply(StockEffect::Commit, &mut unknown), Err(EffectError::Mismatch("GONE".parse().unwrap())));
    }

    #[test]
    fn what_is_sold_and_missing_is_found_first_and_said() {
        let mut shelf = [shelf_line("A", 3, Some((5, 4))), shelf_line("B", 1, Some((1, 0))), shelf_line("C", 2, None)];
        assert!(
            matches!(apply(StockEffect::Sell, &mut shelf.clone()), Err(EffectError::Short(short)) if short.len() == 2)
        );
        let missing = |sku: &str, units| Uncovered { sku: sku.parse().unwrap(), units };
        assert_eq!(cover(&mut shelf), [missing("A", 2), missing("C", 2)]);
        apply(StockEffect::Sell, &mut shelf).unwrap();
        let after = shelf.map(|line| line.stock.map(|stock| (stock.on_hand(), stock.reserved())));
        assert_eq!(after, [Some((4, 4)), Some((0, 0)), Some((0, 0))]);
    }

    #[test]
    fn a_count_keeps_what_is_reserved() {
        let mut stock = Stock::from_stored(10, 4).unwrap();
        assert_eq!(stock.count(Count::new(4).unwrap()), Ok(-6));
        assert_eq!(stock.count(Count::new(3).unwrap()), Err(BelowReserved { wanted: 3, reserved: 4 }));
        assert_eq!(stock.count(Count::new(9).unwrap()), Ok(5));
        assert_eq!((stock.on_hand(), stock.reserved(), stock.available()), (9, 4, 5));
    }
}
