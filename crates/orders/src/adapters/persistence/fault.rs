//! What errors of the stores are called in telemetry.

use observability::db::{Fault, StoreFault};

use crate::application::ports::RepositoryError;

impl StoreFault for RepositoryError {
    fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Conflict => Some(Fault::new("conflict", self.to_string())),
            Self::Corrupt { .. } => Some(Fault::new("corrupt", self.to_string())),
            Self::Unavailable(source) => {
                let store = source.downcast_ref::<sqlite::StoreError>().and_then(StoreFault::fault);
                #[cfg(feature = "postgres")]
                let store = store
                    .or_else(|| source.downcast_ref::<messaging::postgres::StoreError>().and_then(StoreFault::fault));
                store.or_else(|| Some(Fault::new("unavailable", source.to_string())))
            }
        }
    }
}
