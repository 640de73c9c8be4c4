//! What an error of a service's store is called in telemetry, whichever engine it is of.

use std::error::Error;

use observability::db::{Fault, StoreFault};

/// The fault of an error that came from SQLite or PostgreSQL; of any other only that the store is not available.
pub fn fault_of<'a>(error: &'a (dyn Error + 'static)) -> Fault<'a> {
    let known = error.downcast_ref::<sqlite::StoreError>().and_then(StoreFault::fault);
    #[cfg(feature = "postgres")]
    let known = known.or_else(|| error.downcast_ref::<crate::postgres::StoreError>().and_then(StoreFault::fault));
    known.unwrap_or_else(|| Fault::new("unavailable", error.to_string()))
}
