//! What errors of the stores are called in telemetry.

use messaging::store_fault::fault_of;
use observability::db::{Fault, StoreFault};

use crate::application::ports::RepositoryError;

impl StoreFault for RepositoryError {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Conflict => Some(Fault::new("conflict", self.to_string())),
            Self::Corrupt { .. } => Some(Fault::new("corrupt", self.to_string())),
            Self::Unavailable(source) => Some(fault_of(source.as_ref())),
        }
    }
}
