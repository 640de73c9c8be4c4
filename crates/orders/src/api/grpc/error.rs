//! What the use cases refuse, as the caller is told it.

use contracts::event_data::OrderStatus;
use contracts::{Reason, Refusal, Sku};
use observability::logs::error_chain;

use super::RETRY_AFTER;
use super::convert::MAX_VIOLATIONS;
use crate::application::OrderError;
use crate::application::ports::{NeighbourError, RepositoryError};
use crate::domain::{IllegalTransition, PlaceError};

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound => Self::new(Reason::OrderNotFound, Reason::OrderNotFound.title()),
            OrderError::Line { index, source } => Self::invalid(format!("/items/{index}"), source),
            OrderError::UnknownProducts(skus) => {
                Self::new(Reason::InvalidRequest, OrderError::UnknownProducts(skus).to_string())
            }
            OrderError::Place(source @ PlaceError::Total(_)) => Self::invalid("/items", error_chain(&source)),
            OrderError::Place(source) => Self::invalid("/items", source),
            OrderError::KeyReused => Self::new(Reason::IdempotencyKeyReused, Reason::IdempotencyKeyReused.title()),
            OrderError::InProgress => {
                Self::new(Reason::OrderInProgress, Reason::OrderInProgress.title()).retry_after(RETRY_AFTER)
            }
            OrderError::OutOfStock { order, missing } => {
                let detail = missing
                    .iter()
                    .map(|item| format!("{} of {} wanted, {} available", item.requested, item.sku, item.available))
                    .collect::<Vec<_>>()
                    .join("; ");
                let missing = serde_json::to_string(&missing).unwrap_or_else(|_| "[]".to_owned());
                Self::new(Reason::OutOfStock, detail).with("order_id", order.id()).with("missing", missing)
            }
            OrderError::Declined { order, reason } => {
                Self::new(Reason::PaymentDeclined, reason).with("order_id", order.id())
            }
            OrderError::Cancelled { order } => {
                Self::new(Reason::OrderCancelled, Reason::OrderCancelled.title()).with("order_id", order.id())
            }
            OrderError::Illegal(transition) => illegal(transition),
            OrderError::BeingRefunded { wanted } => Self::new(reason_against(wanted), "the order is being refunded"),
            OrderError::Store(error) => store(&error),
            OrderError::Neighbour(error) => neighbour(&error),
        }
    }
}

/// The same, with pointers to the lines of the request.
pub(super) fn of_placing(error: OrderError, requested: &[Sku]) -> Refusal {
    match error {
        OrderError::UnknownProducts(unknown) => {
            requested.iter().enumerate().filter(|(_, sku)| unknown.contains(sku)).take(MAX_VIOLATIONS).fold(
                Refusal::new(Reason::InvalidRequest, "some products do not exist"),
                |refusal, (index, sku)| {
                    refusal.with_field(format!("/items/{index}/sku"), format!("there is no product {sku}"))
                },
            )
        }
        other => other.into(),
    }
}

fn illegal(transition: IllegalTransition) -> Refusal {
    Refusal::new(reason_against(transition.to), transition.to_string())
}

/// Why an order can't become this.
fn reason_against(wanted: OrderStatus) -> Reason {
    match wanted {
        OrderStatus::Cancelled => Reason::OrderNotCancellable,
        OrderStatus::Shipped => Reason::OrderNotShippable,
        OrderStatus::Delivered => Reason::OrderNotDeliverable,
        OrderStatus::Refunded => Reason::OrderNotRefundable,
        OrderStatus::Draft | OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Rejected => {
            Reason::StaleVersion
        }
    }
}

fn store(error: &RepositoryError) -> Refusal {
    match error {
        RepositoryError::Conflict => Refusal::new(Reason::StaleVersion, Reason::StaleVersion.title()),
        RepositoryError::Unavailable(_) => {
            tracing::error!(error = %error_chain(error), "order store failed");
            Refusal::new(Reason::Unavailable, "orders can't be read or written now").retry_after(RETRY_AFTER)
        }
        RepositoryError::Corrupt { .. } => {
            tracing::error!(error = %error_chain(error), "order store is corrupt");
            Refusal::new(Reason::Internal, Reason::Internal.title())
        }
    }
}

fn neighbour(error: &NeighbourError) -> Refusal {
    tracing::warn!(error = %error_chain(error), "a neighbour failed");
    match error {
        NeighbourError::Unavailable { service, .. } => {
            Refusal::new(Reason::Unavailable, format!("{service} is not available")).retry_after(RETRY_AFTER)
        }
        NeighbourError::Refused { .. } => Refusal::new(Reason::Internal, Reason::Internal.title()),
    }
}
