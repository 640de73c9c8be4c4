//! The neighbours that a checkout needs.

pub mod inventory;
pub mod payment;

use contracts::{Reason, Refusal};
use tonic::Status;

use crate::application::ports::NeighbourError;

/// A status that is no part of the contract's answers.
fn neighbour_error(service: &'static str, status: &Status) -> NeighbourError {
    let refusal = Refusal::from_status(status);
    match refusal.reason {
        Reason::Unavailable | Reason::DeadlineExceeded => {
            NeighbourError::Unavailable { service, detail: format!("{:?}: {}", status.code(), status.message()) }
        }
        reason => NeighbourError::Refused { service, detail: format!("{}: {}", reason.as_str(), refusal.detail) },
    }
}
