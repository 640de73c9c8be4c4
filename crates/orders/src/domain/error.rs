//! What the rules refuse.

use contracts::Sku;
use contracts::event_data::OrderStatus;
use contracts::money::MoneyError;

/// A transition that the order's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} can't become {}", .from.as_str(), .to.as_str())]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: OrderStatus,
    /// The state asked for.
    pub to: OrderStatus,
}

/// A change that a draft refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// More lines than an order may have.
    #[error("an order has at most {} lines", super::MAX_LINES)]
    TooManyLines,
    /// More units of one product than an order may ask for.
    #[error(transparent)]
    Quantity(#[from] contracts::values::InvalidQuantity),
    /// The product is not in the draft.
    #[error("{0} is not in the cart")]
    NotThere(Sku),
}

/// Why a draft could not be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing to order.
    #[error("an empty order can't be placed")]
    Empty,
    /// Products that the catalogue does not have.
    #[error("there is no product {}", .0.iter().map(Sku::as_str).collect::<Vec<_>>().join(", "))]
    UnknownProducts(Vec<Sku>),
    /// The total can't be computed.
    #[error("the total can't be computed")]
    Total(#[source] MoneyError),
}
