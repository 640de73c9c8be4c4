//! What all use cases of this service share.

use std::future::Future;
use std::sync::Arc;

use contracts::{Clock, IdGenerator};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::application::error::OrderError;
use crate::application::ports::{Inventory, OrderRepository, Payments, RepositoryError};

/// How often a change is tried against others that are writing at the same time.
const ATTEMPTS: usize = 20;

/// The ports of the service, the name of this instance, and the sagas it runs.
#[derive(Clone)]
pub struct Ordering {
    /// Where orders are kept.
    pub repository: Arc<dyn OrderRepository>,
    /// Catalogue and stock.
    pub inventory: Arc<dyn Inventory>,
    /// Payments.
    pub payments: Arc<dyn Payments>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn IdGenerator>,
    /// This instance: owns the sagas it runs.
    pub instance: Arc<str>,
    /// Sagas running in this process; waited for at the end.
    pub running: TaskTracker,
    /// Rung when a saga became due earlier than was known.
    pub due: Arc<Notify>,
}

/// Makes a change that others, the order's own saga among them, may outrun: each attempt reads anew and judges by what
/// it finds.
///
/// # Errors
/// Those of an attempt; `Conflict` only if every single one was outrun.
pub(super) async fn against_rivals<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, OrderError>
where
    F: Future<Output = Result<T, OrderError>>,
{
    for _ in 0..ATTEMPTS {
        match attempt().await {
            Err(OrderError::Store(RepositoryError::Conflict)) => {}
            result => return result,
        }
    }
    Err(RepositoryError::Conflict.into())
}
