//! Shows the reservation of an order.

use contracts::ids::OrderId;

use super::Inventory;
use super::ports::ChangeError;
use crate::domain::error::ReservationError;
use crate::domain::reservation::Reservation;

impl Inventory {
    /// The reservation of an order.
    ///
    /// # Errors
    /// [`ReservationError::NotFound`] when the order never held anything, also when it was released all the same.
    pub async fn get_reservation(&self, order_id: OrderId) -> Result<Reservation, ChangeError<ReservationError>> {
        let found = self.reservations.find(order_id).await.map_err(ChangeError::Store)?;
        found
            .filter(|reservation| !reservation.is_tombstone())
            .ok_or(ChangeError::Refused(ReservationError::NotFound(order_id)))
    }
}
