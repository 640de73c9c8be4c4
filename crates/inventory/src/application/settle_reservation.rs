//! What the saga decides about a reservation after it was held: pin, commit, release, return.

use contracts::ids::OrderId;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::ReservationError;
use crate::domain::reservation::{Reservation, ReservationCommand};

impl Inventory {
    /// Makes a hold last until the verdict.
    ///
    /// # Errors
    /// [`ReservationError::HoldExpired`] when it ran out, swept or not; [`ReservationError::NotFound`];
    /// [`ReservationError::Closed`].
    pub async fn pin(&self, order_id: OrderId) -> Result<Reservation, ChangeError<ReservationError>> {
        self.settle(order_id, ReservationCommand::Pin).await
    }

    /// The verdict: sold. The goods leave the shelf.
    ///
    /// # Errors
    /// [`ReservationError::Closed`] unless it is pinned; [`ReservationError::NotFound`];
    /// [`ReservationError::HoldExpired`].
    pub async fn commit(&self, order_id: OrderId) -> Result<Reservation, ChangeError<ReservationError>> {
        self.settle(order_id, ReservationCommand::Commit).await
    }

    /// The verdict: not sold. The goods are free; a hold that arrives later is refused.
    ///
    /// # Errors
    /// [`ReservationError::Closed`] when they are sold already.
    pub async fn release(&self, order_id: OrderId) -> Result<Reservation, ChangeError<ReservationError>> {
        self.settle(order_id, ReservationCommand::Release).await
    }

    /// Sold goods come back on the shelf.
    ///
    /// # Errors
    /// [`ReservationError::Closed`] unless they were sold; [`ReservationError::NotFound`].
    pub async fn return_goods(&self, order_id: OrderId) -> Result<Reservation, ChangeError<ReservationError>> {
        self.settle(order_id, ReservationCommand::Return).await
    }

    async fn settle(
        &self,
        order_id: OrderId,
        command: ReservationCommand,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        self.reservations.apply(order_id, command, self.clock.now()).await
    }
}
