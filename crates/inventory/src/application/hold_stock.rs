//! Holds the items of an order.

use std::time::Duration;

use contracts::ids::OrderId;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::ReservationError;
use crate::domain::lines::Lines;
use crate::domain::reservation::{Reservation, ReservationCommand, Status};

impl Inventory {
    /// Holds all lines, or none, until `ttl` from now; repeating extends a hold and never shortens it.
    ///
    /// What is pinned or committed is returned as it is. A hold that ran out and was released is made anew.
    ///
    /// # Errors
    /// [`ReservationError::OutOfStock`] naming every short item; [`ReservationError::Closed`] after a verdict.
    pub async fn hold(
        &self,
        order_id: OrderId,
        lines: Lines,
        ttl: Duration,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        let now = self.clock.now();
        let command = ReservationCommand::Hold { lines, expires_at: now.plus(ttl) };
        let reservation = self.reservations.apply(order_id, command, now).await?;
        if let Status::Held { expires_at } = reservation.status() {
            self.expiries.announce(expires_at);
        }
        tracing::info!(order.id = %order_id, status = reservation.status().as_str(), "stock held");
        Ok(reservation)
    }
}
