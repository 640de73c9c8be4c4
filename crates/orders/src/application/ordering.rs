//! What all use cases of this service share.

use std::sync::Arc;

use contracts::{Clock, IdGenerator};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::application::ports::{Inventory, OrderRepository, Payments};

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
