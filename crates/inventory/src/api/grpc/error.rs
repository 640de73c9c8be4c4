//! Errors as callers see them: one match per kind of error, without a wildcard, so that a new variant must choose its reason.

use std::time::Duration;

use contracts::{Reason, Refusal, Sku};
use observability::logs::error_chain;
use serde::Serialize;
use tonic::Status;

use crate::application::ports::{ChangeError, RepositoryError};
use crate::domain::error::{CatalogueError, ReservationError};
use crate::domain::stock::Shortage;

/// When to try again after the store failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) fn of_catalogue(error: ChangeError<CatalogueError>) -> Status {
    match error {
        ChangeError::Refused(refused) => catalogue_refusal(&refused).into(),
        ChangeError::Store(error) => of_store(error),
    }
}

pub(super) fn of_reservation(error: ChangeError<ReservationError>) -> Status {
    match error {
        ChangeError::Refused(refused) => reservation_refusal(&refused).into(),
        ChangeError::Store(error) => of_store(error),
    }
}

pub(super) fn of_store(error: RepositoryError) -> Status {
    let chain = error_chain(&error);
    let refusal = match error {
        RepositoryError::Conflict => Refusal::new(Reason::StaleVersion, Reason::StaleVersion.title()),
        RepositoryError::Unavailable(_) => {
            tracing::warn!(error = %chain, "store not available");
            Refusal::new(Reason::Unavailable, Reason::Unavailable.title()).retry_after(RETRY_AFTER)
        }
        RepositoryError::Corrupt { table, row } => {
            tracing::error!(error = %chain, table, row, "a stored row makes no sense");
            Refusal::new(Reason::Internal, Reason::Internal.title())
        }
    };
    refusal.into()
}

fn catalogue_refusal(error: &CatalogueError) -> Refusal {
    let reason = match error {
        CatalogueError::NotFound(_) => Reason::ProductNotFound,
        CatalogueError::Exists(_) => Reason::ProductExists,
        CatalogueError::StockBelowReserved { .. } => Reason::StockBelowReserved,
    };
    Refusal::new(reason, error.to_string())
}

fn reservation_refusal(error: &ReservationError) -> Refusal {
    match error {
        ReservationError::OutOfStock { order_id, missing } => Refusal::new(Reason::OutOfStock, error.to_string())
            .with("order_id", order_id)
            .with("missing", missing_json(missing)),
        ReservationError::HoldExpired(_) => Refusal::new(Reason::HoldExpired, error.to_string()),
        ReservationError::Closed { .. } => Refusal::new(Reason::ReservationClosed, error.to_string()),
        ReservationError::NotFound(_) => Refusal::new(Reason::ReservationNotFound, error.to_string()),
    }
}

/// An entry of the metadata `missing`, in the shape that the REST API shows.
#[derive(Serialize)]
struct Missing<'a> {
    sku: &'a Sku,
    requested: u32,
    available: u64,
}

fn missing_json(missing: &[Shortage]) -> String {
    let missing: Vec<_> = missing
        .iter()
        .map(|Shortage { sku, requested, available }| Missing { sku, requested: *requested, available: *available })
        .collect();
    serde_json::to_string(&missing).expect("texts and numbers are JSON")
}
