//! Shows the payment of an order.

use std::sync::Arc;

use contracts::ids::OrderId;

use super::ports::{PaymentRepository, RepositoryError};
use crate::domain::Payment;

/// Finds payments.
#[derive(Clone)]
pub struct GetPayment {
    /// The store.
    pub repository: Arc<dyn PaymentRepository>,
}

impl GetPayment {
    /// The payment of an order as it stands; `None` when none was tried.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub async fn execute(&self, order_id: OrderId) -> Result<Option<Payment>, RepositoryError> {
        self.repository.find_by_order(order_id).await
    }
}
