//! What an order has a right to by the order log, and how a reservation is brought to it after its store forgot something.
//!
//! Claims bear repetition and being late: a reservation that is further on than the claim stays as it is.

use contracts::ids::OrderId;

use super::lines::Lines;
use super::reservation::{ReleaseCause, Reservation, ReservationEvent, Status, Transition};
use super::stock::StockEffect;

/// What an order has a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its goods are pinned until the verdict.
    Promised,
    /// Its goods are sold.
    Sold,
    /// To nothing, any more.
    Free,
}

impl Reservation {
    /// What brings the reservation that there is, or none, to what the order has a right to.
    pub(super) fn restore(order_id: OrderId, current: Option<Self>, claim: Claim, lines: Lines) -> Transition {
        let Some(current) = current else { return Self::recreate(order_id, claim, lines, 0) };
        match (claim, current.status()) {
            (Claim::Promised | Claim::Sold, Status::Released(ReleaseCause::Expired)) => {
                Self::recreate(order_id, claim, lines, current.version())
            }
            (Claim::Promised, Status::Held { .. }) => current.marked(Status::Pinned),
            (Claim::Sold, Status::Held { .. } | Status::Pinned) => {
                current.moved(Status::Committed, StockEffect::Commit, ReservationEvent::Committed)
            }
            (Claim::Free, Status::Held { .. } | Status::Pinned) => current.moved(
                Status::Released(ReleaseCause::Verdict),
                StockEffect::Unreserve,
                ReservationEvent::Released,
            ),
            (Claim::Free, Status::Released(ReleaseCause::Expired)) => {
                current.marked(Status::Released(ReleaseCause::Verdict))
            }
            (Claim::Free, Status::Committed) => {
                current.moved(Status::Returned, StockEffect::Return, ReservationEvent::Released)
            }
            (_, Status::Pinned | Status::Committed | Status::Returned | Status::Released(ReleaseCause::Verdict)) => {
                current.unchanged()
            }
        }
    }

    fn recreate(order_id: OrderId, claim: Claim, lines: Lines, version: u64) -> Transition {
        let anew = |status| Self::from_stored(order_id, lines.into_vec(), status, version);
        match claim {
            Claim::Promised => {
                anew(Status::Pinned).moved(Status::Pinned, StockEffect::Reserve, ReservationEvent::Reserved)
            }
            Claim::Sold => {
                anew(Status::Committed).moved(Status::Committed, StockEffect::Sell, ReservationEvent::Committed)
            }
            // What was never held can't be held by a call that comes late.
            Claim::Free => Self::tombstone(order_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::{Quantity, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::domain::lines::Line;
    use crate::domain::reservation::ReservationCommand;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

    #[test]
    fn every_state_is_brought_to_every_claim_and_stays_there() {
        let order_id = OrderId::from_uuid(Uuid::from_u128(7));
        let lines = Lines::new([Line { sku: "A".parse().unwrap(), quantity: Quantity::try_from(2).unwrap() }]).unwrap();
        let (verdict, expired) = (Status::Released(ReleaseCause::Verdict), Status::Released(ReleaseCause::Expired));
        let starts = [
            None,
            // Run out, and not: a pin that was forgotten does not let go.
            Some(Status::Held { expires_at: NOW }),
            Some(Status::Pinned),
            Some(Status::Committed),
            Some(verdict),
            Some(expired),
            Some(Status::Returned),
        ];
        let table = [
            (
                Claim::Promised,
                [
                    (Status::Pinned, Some(StockEffect::Reserve)),
                    (Status::Pinned, None),
                    (Status::Pinned, None),
                    (Status::Committed, None),
                    (verdict, None),
                    (Status::Pinned, Some(StockEffect::Reserve)),
                    (Status::Returned, None),
                ],
            ),
            (
                Claim::Sold,
                [
                    (Status::Committed, Some(StockEffect::Sell)),
                    (Status::Committed, Some(StockEffect::Commit)),
                    (Status::Committed, Some(StockEffect::Commit)),
                    (Status::Committed, None),
                    (verdict, None),
                    (Status::Committed, Some(StockEffect::Sell)),
                    (Status::Returned, None),
                ],
            ),
            (
                Claim::Free,
                [
                    (verdict, None),
                    (verdict, Some(StockEffect::Unreserve)),
                    (verdict, Some(StockEffect::Unreserve)),
                    (Status::Returned, Some(StockEffect::Return)),
                    (verdict, None),
                    (verdict, None),
                    (Status::Returned, None),
                ],
            ),
        ];
        for (claim, expected) in table {
            for (from, (status, effect)) in starts.into_iter().zip(expected) {
                let current =
                    from.map(|status| Reservation::from_stored(order_id, lines.clone().into_vec(), status, 3));
                let command = ReservationCommand::Restore { claim, lines: lines.clone(), cover: true };
                let found = Reservation::decide(order_id, current, command.clone(), NOW).unwrap();
                assert_eq!(found.reservation.status(), status, "{claim:?} from {from:?}");
                assert_eq!(found.change.and_then(|change| change.effect), effect, "{claim:?} from {from:?}");
                let covers = found.change.is_some_and(|change| change.cover);
                assert_eq!(covers, effect == Some(StockEffect::Sell), "only what is sold without a promise is covered");
                let again = Reservation::decide(order_id, Some(found.reservation), command, NOW).unwrap();
                assert_eq!(again.change, None, "{claim:?} from {from:?} again");
            }
        }
    }
}
