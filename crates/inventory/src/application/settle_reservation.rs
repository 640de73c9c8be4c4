//! What the saga decides about a reservation after it was held: pin, commit, release, return.

use contracts::ids::OrderId;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::claim::Claim;
use crate::domain::error::ReservationError;
use crate::domain::lines::Lines;
use crate::domain::reservation::{Reservation, ReservationCommand, Status};

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
    /// With `bought`, the order is confirmed, and only a pinned reservation can have led there: where the store forgot it, the
    /// goods are taken from what is free, and what is missing is booked as uncovered. A verdict against the sale stands.
    ///
    /// # Errors
    /// [`ReservationError::Closed`] unless it is pinned; [`ReservationError::NotFound`];
    /// [`ReservationError::HoldExpired`].
    pub async fn commit(
        &self,
        order_id: OrderId,
        bought: Option<Lines>,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        let refused = match (self.settle(order_id, ReservationCommand::Commit).await, &bought) {
            (Err(ChangeError::Refused(refused)), Some(_)) => refused,
            (answer, _) => return answer,
        };
        let Some(lines) = bought else { return Err(ChangeError::Refused(refused)) };
        let restored =
            self.settle(order_id, ReservationCommand::Restore { claim: Claim::Sold, lines, cover: true }).await?;
        if restored.status() != Status::Committed {
            return Err(ChangeError::Refused(refused));
        }
        tracing::warn!(order.id = %order_id, found = %refused, "goods of a confirmed order were sold without its reservation");
        Ok(restored)
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
        // A pin is a step of the checkout, not yet what became of the goods.
        let ends = command != ReservationCommand::Pin;
        let reservation = self.reservations.apply(order_id, command, self.clock.now()).await?;
        if ends {
            tracing::info!(order.id = %order_id, status = reservation.status().as_str(), "reservation settled");
        }
        Ok(reservation)
    }
}
