//! What the use cases refuse.

use contracts::Sku;
use contracts::event_data::OrderStatus;

use crate::application::ports::{NeighbourError, RepositoryError};
use crate::domain::{DraftError, IllegalTransition, MissingItem, Order, PlaceError};

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No such order, or not one that the caller may see.
    #[error("there is no such order")]
    NotFound,
    /// A line could not be added to the draft.
    #[error("line {index} can't be ordered")]
    Line {
        /// Which line of the request, from 0.
        index: usize,
        /// Why.
        #[source]
        source: DraftError,
    },
    /// Products that the catalogue does not have.
    #[error("there is no product {}", .0.iter().map(Sku::as_str).collect::<Vec<_>>().join(", "))]
    UnknownProducts(Vec<Sku>),
    /// The draft can't be placed.
    #[error("the order can't be placed")]
    Place(#[source] PlaceError),
    /// The key was used with another body.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The order of this key is not decided yet.
    #[error("the order with this idempotency key is still being decided")]
    InProgress,
    /// Too little stock.
    #[error("not everything is in stock")]
    OutOfStock {
        /// The rejected order.
        order: Box<Order>,
        /// Of what.
        missing: Vec<MissingItem>,
    },
    /// The card was declined.
    #[error("the payment was declined: {reason}")]
    Declined {
        /// The cancelled order.
        order: Box<Order>,
        /// In the provider's words.
        reason: String,
    },
    /// It was cancelled before it was confirmed.
    #[error("the order was cancelled before it was confirmed")]
    Cancelled {
        /// The cancelled order.
        order: Box<Order>,
    },
    /// The order's state does not allow it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Its saga is giving the money back: the order's fate is sealed.
    #[error("the order is being refunded")]
    BeingRefunded {
        /// What the order can't become meanwhile.
        wanted: OrderStatus,
    },
    /// The order store.
    #[error("the order could not be read or written")]
    Store(#[from] RepositoryError),
    /// Another service.
    #[error("a part of the order could not be done")]
    Neighbour(#[from] NeighbourError),
}
