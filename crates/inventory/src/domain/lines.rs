//! What an order wants.

use contracts::values::{InvalidQuantity, MAX_QUANTITY};
use contracts::{Quantity, Sku};

/// Most different products in one order.
pub const MAX_LINES: usize = 200;

/// Units of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// Why lines were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLines {
    /// Nothing is wanted.
    #[error("must hold at least one item")]
    Empty,
    /// Too much for one order.
    #[error("must hold at most {MAX_LINES} different products")]
    TooMany,
    /// The lines of one product add up to too many units.
    #[error("and the other lines of this product must add up to at most {MAX_QUANTITY}")]
    TooManyUnits {
        /// Position of the line that went too far.
        index: usize,
    },
}

/// The lines of an order: at least one, each product once, in the order first named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Gathers lines; those of one product are merged.
    ///
    /// # Errors
    /// [`InvalidLines`].
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Result<Self, InvalidLines> {
        let mut merged: Vec<Line> = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            // At most 200 short comparisons: cheaper than hashing for the few lines that orders have.
            if let Some(earlier) = merged.iter_mut().find(|earlier| earlier.sku == line.sku) {
                let units = earlier.quantity.get() + line.quantity.get();
                earlier.quantity =
                    Quantity::try_from(units).map_err(|InvalidQuantity| InvalidLines::TooManyUnits { index })?;
            } else if merged.len() == MAX_LINES {
                return Err(InvalidLines::TooMany);
            } else {
                merged.push(line);
            }
        }
        if merged.is_empty() { Err(InvalidLines::Empty) } else { Ok(Self(merged)) }
    }

    /// The lines.
    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }

    /// The lines, owned.
    pub fn into_vec(self) -> Vec<Line> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, quantity: u32) -> Line {
        Line { sku: sku.parse().unwrap(), quantity: Quantity::try_from(quantity).unwrap() }
    }

    #[test]
    fn lines_of_one_product_are_merged_where_it_was_first_named() {
        let lines = Lines::new([line("B", 1), line("A", 2), line("B", 3)]).unwrap();
        assert_eq!(lines.as_slice(), [line("B", 4), line("A", 2)]);
    }

    #[test]
    fn merging_does_not_get_around_the_limits() {
        assert_eq!(Lines::new([]), Err(InvalidLines::Empty));
        assert_eq!(Lines::new([line("A", MAX_QUANTITY), line("A", 1)]), Err(InvalidLines::TooManyUnits { index: 1 }));
        let many = |n: usize| Lines::new((0..n).map(|n| line(&format!("S{n}"), 1)));
        assert!(many(MAX_LINES).is_ok());
        assert_eq!(many(MAX_LINES + 1), Err(InvalidLines::TooMany));
    }
}
