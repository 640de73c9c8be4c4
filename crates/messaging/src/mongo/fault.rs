//! What MongoDB's errors are called in telemetry.

use observability::db::{Fault, StoreFault};

use super::error::MongoError;

impl StoreFault for MongoError {
    fn fault(&self) -> Option<Fault<'_>> {
        let kind = match self {
            Self::Unsuitable(_) => "unsuitable",
            Self::OtherUniqueIndex { .. } => "schema",
            Self::Duplicate | Self::Stale | Self::Failed { transient: true, .. } => "conflict",
            Self::Document(_) => "corrupt",
            Self::Failed { transient: false, .. } => "unavailable",
            Self::TimedOut => "timeout",
        };
        Some(Fault::new(kind, self.to_string()))
    }
}
