//! Orders and their sagas: pure rules, no I/O.

mod draft;
mod error;
mod line_item;
mod order;
mod saga;
mod stock_claim;

pub use draft::{Draft, MAX_LINES};
pub use error::{DraftError, IllegalTransition, PlaceError};
pub use line_item::{LineItem, PricedProduct};
pub use order::{Order, OrderEvent, OrderParts};
pub use saga::{IllegalStep, MissingItem, Refused, Saga, SagaParts, SagaState};
pub use stock_claim::StockClaim;
