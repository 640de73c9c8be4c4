//! The state machine of an order's reservation.
//!
//! `held → pinned → committed → returned`; `held | pinned → released`. A hold that ran out is released by the sweeper and may
//! be held anew; one released by a verdict may not, also when nothing had been held by then.

use contracts::Timestamp;
use contracts::ids::OrderId;

use super::claim::Claim;
use super::error::ReservationError;
use super::lines::{Line, Lines};
use super::stock::StockEffect;

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Goods are promised until this moment; from it on the hold has run out.
    Held {
        /// The first moment at which it can't be pinned.
        expires_at: Timestamp,
    },
    /// Goods are promised until the saga's verdict.
    Pinned,
    /// Goods are sold.
    Committed,
    /// The promise was taken back.
    Released(ReleaseCause),
    /// Sold goods came back.
    Returned,
}

/// Who took a promise back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseCause {
    /// The saga: final, a hold that arrives later is refused.
    Verdict,
    /// Time: the order may be held anew.
    Expired,
}

impl Status {
    /// The name on every wire and in every store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Pinned => "pinned",
            Self::Committed => "committed",
            Self::Released(_) => "released",
            Self::Returned => "returned",
        }
    }
}

/// What the world is told about a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationEvent {
    /// Goods are promised.
    Reserved,
    /// Goods are sold.
    Committed,
    /// Goods are free again: released, run out, or returned.
    Released,
}

/// What is asked of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservationCommand {
    /// Promise these goods until then.
    Hold {
        /// What is wanted.
        lines: Lines,
        /// The first moment at which the hold has run out.
        expires_at: Timestamp,
    },
    /// Promise them until the verdict.
    Pin,
    /// The verdict: sold.
    Commit,
    /// The verdict: not sold.
    Release,
    /// Sold goods came back.
    Return,
    /// Bring it to what the order log says, whatever the store forgot.
    Restore {
        /// What the order has a right to.
        claim: Claim,
        /// What it bought.
        lines: Lines,
        /// Whether goods that are sold and not there are sold all the same, and booked as uncovered. Otherwise they are
        /// refused as out of stock, like promised ones always.
        cover: bool,
    },
}

/// The stock promised to one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    order_id: OrderId,
    lines: Vec<Line>,
    status: Status,
    version: u64,
}

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The reservation afterwards.
    pub reservation: Reservation,
    /// What is to be saved with it; `None` when nothing changed.
    pub change: Option<Change>,
}

/// What a change of a reservation brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Change {
    /// What happens to the stock of every line.
    pub effect: Option<StockEffect>,
    /// What the world is told.
    pub event: Option<ReservationEvent>,
    /// Whether units that are missing for the effect are first booked as found ([`super::stock::cover`]).
    pub cover: bool,
}

impl Reservation {
    /// What a store holds.
    pub fn from_stored(order_id: OrderId, lines: Vec<Line>, status: Status, version: u64) -> Self {
        Self { order_id, lines, status, version }
    }

    /// Whose order.
    pub const fn order_id(&self) -> OrderId {
        self.order_id
    }

    /// What is promised, sold or was; empty when the order was released before it held anything.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Where it stands.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Grows by one with every event, so that whoever follows the events sees every version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether this only remembers that the order was released before it held anything.
    pub const fn is_tombstone(&self) -> bool {
        self.lines.is_empty()
    }

    /// What `command` leads to, from the reservation that there is or from none, at the moment `now`.
    ///
    /// Repeating a command that had its effect changes nothing.
    ///
    /// # Errors
    /// [`ReservationError`]; the reservation stays as it is.
    pub fn decide(
        order_id: OrderId,
        current: Option<Self>,
        command: ReservationCommand,
        now: Timestamp,
    ) -> Result<Transition, ReservationError> {
        match (current, command) {
            (current, ReservationCommand::Restore { claim, lines, cover }) => {
                let mut transition = Self::restore(order_id, current, claim, lines);
                if let Some(change) = transition.change.as_mut() {
                    change.cover = cover && change.effect == Some(StockEffect::Sell);
                }
                Ok(transition)
            }
            (None, ReservationCommand::Hold { lines, expires_at }) => Ok(Self::begin(order_id, lines, expires_at, 0)),
            (None, ReservationCommand::Release) => Ok(Self::tombstone(order_id)),
            (None, ReservationCommand::Pin | ReservationCommand::Commit | ReservationCommand::Return) => {
                Err(ReservationError::NotFound(order_id))
            }
            (Some(current), ReservationCommand::Hold { lines, expires_at }) => current.hold_again(lines, expires_at),
            (Some(current), ReservationCommand::Pin) => current.pin(now),
            (Some(current), ReservationCommand::Commit) => current.commit(now),
            (Some(current), ReservationCommand::Release) => current.release(),
            (Some(current), ReservationCommand::Return) => current.take_back(),
        }
    }

    /// Ends a hold that ran out; `None` when it is no hold, or has not run out.
    pub fn expire(self, now: Timestamp) -> Option<Transition> {
        self.has_run_out(now).then(|| {
            self.moved(Status::Released(ReleaseCause::Expired), StockEffect::Unreserve, ReservationEvent::Released)
        })
    }

    fn begin(order_id: OrderId, lines: Lines, expires_at: Timestamp, version: u64) -> Transition {
        let status = Status::Held { expires_at };
        Self { order_id, lines: lines.into_vec(), status, version }.moved(
            status,
            StockEffect::Reserve,
            ReservationEvent::Reserved,
        )
    }

    pub(super) fn tombstone(order_id: OrderId) -> Transition {
        let status = Status::Released(ReleaseCause::Verdict);
        Self { order_id, lines: Vec::new(), status, version: 0 }.marked(status)
    }

    fn hold_again(self, lines: Lines, expires_at: Timestamp) -> Result<Transition, ReservationError> {
        match self.status {
            // Its goods are still promised, even if the sweeper is late: nothing is lost by going on.
            Status::Held { expires_at: earlier } if earlier < expires_at => {
                Ok(self.marked(Status::Held { expires_at }))
            }
            Status::Held { .. } | Status::Pinned | Status::Committed => Ok(self.unchanged()),
            Status::Released(ReleaseCause::Expired) => Ok(Self::begin(self.order_id, lines, expires_at, self.version)),
            Status::Released(ReleaseCause::Verdict) | Status::Returned => Err(self.closed("it can't be held any more")),
        }
    }

    fn pin(self, now: Timestamp) -> Result<Transition, ReservationError> {
        if self.has_run_out(now) {
            return Err(ReservationError::HoldExpired(self.order_id));
        }
        match self.status {
            Status::Held { .. } => Ok(self.marked(Status::Pinned)),
            Status::Pinned | Status::Committed => Ok(self.unchanged()),
            Status::Released(ReleaseCause::Expired) => Err(ReservationError::HoldExpired(self.order_id)),
            Status::Released(ReleaseCause::Verdict) | Status::Returned => {
                Err(self.closed("it can't be pinned any more"))
            }
        }
    }

    fn commit(self, now: Timestamp) -> Result<Transition, ReservationError> {
        if self.has_run_out(now) {
            return Err(ReservationError::HoldExpired(self.order_id));
        }
        match self.status {
            Status::Pinned => Ok(self.moved(Status::Committed, StockEffect::Commit, ReservationEvent::Committed)),
            Status::Committed => Ok(self.unchanged()),
            Status::Released(ReleaseCause::Expired) => Err(ReservationError::HoldExpired(self.order_id)),
            Status::Held { .. } | Status::Released(ReleaseCause::Verdict) | Status::Returned => {
                Err(self.closed("only a pinned one is committed"))
            }
        }
    }

    fn release(self) -> Result<Transition, ReservationError> {
        let released = Status::Released(ReleaseCause::Verdict);
        match self.status {
            Status::Held { .. } | Status::Pinned => {
                Ok(self.moved(released, StockEffect::Unreserve, ReservationEvent::Released))
            }
            // The goods are free already; what changes is that the order can't be held anew.
            Status::Released(ReleaseCause::Expired) => Ok(self.marked(released)),
            Status::Released(ReleaseCause::Verdict) => Ok(self.unchanged()),
            Status::Committed | Status::Returned => Err(self.closed("sold goods are returned, not released")),
        }
    }

    fn take_back(self) -> Result<Transition, ReservationError> {
        match self.status {
            Status::Committed => Ok(self.moved(Status::Returned, StockEffect::Return, ReservationEvent::Released)),
            Status::Returned => Ok(self.unchanged()),
            Status::Held { .. } | Status::Pinned | Status::Released(_) => {
                Err(self.closed("only a committed one is returned"))
            }
        }
    }

    fn has_run_out(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Held { expires_at } if expires_at <= now)
    }

    fn closed(&self, wanted: &'static str) -> ReservationError {
        ReservationError::Closed { order_id: self.order_id, status: self.status.as_str(), wanted }
    }

    /// A change that moves goods and is told.
    pub(super) fn moved(self, status: Status, effect: StockEffect, event: ReservationEvent) -> Transition {
        Transition {
            reservation: Self { status, version: self.version + 1, ..self },
            change: Some(Change { effect: Some(effect), event: Some(event), cover: false }),
        }
    }

    /// A change that concerns nobody else.
    pub(super) fn marked(self, status: Status) -> Transition {
        Transition { reservation: Self { status, ..self }, change: Some(Change::default()) }
    }

    pub(super) fn unchanged(self) -> Transition {
        Transition { reservation: self, change: None }
    }
}

#[cfg(test)]
mod tests {
    use contracts::Quantity;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
    const LATER: Timestamp = Timestamp::from_unix_ms(2_000);

    fn order() -> OrderId {
        OrderId::from_uuid(Uuid::from_u128(7))
    }

    fn lines() -> Lines {
        Lines::new([Line { sku: "A".parse().unwrap(), quantity: Quantity::try_from(2).unwrap() }]).unwrap()
    }

    fn hold(expires_at: Timestamp) -> ReservationCommand {
        ReservationCommand::Hold { lines: lines(), expires_at }
    }

    fn at(status: Status) -> Reservation {
        Reservation::from_stored(order(), lines().into_vec(), status, 3)
    }

    const HELD: Status = Status::Held { expires_at: LATER };
    const OVER: Status = Status::Held { expires_at: NOW };
    const VERDICT: Status = Status::Released(ReleaseCause::Verdict);
    const EXPIRED: Status = Status::Released(ReleaseCause::Expired);

    /// What a command leads to, in short: the state, whether anything is saved, what moves; or the name of the error.
    fn outcome(from: Option<Status>, command: ReservationCommand) -> String {
        match Reservation::decide(order(), from.map(at), command, NOW) {
            Ok(Transition { reservation, change }) => {
                let change = change.map_or("-".to_owned(), |change| match (change.effect, change.event) {
                    (Some(effect), Some(event)) => format!("{effect:?}/{event:?}"),
                    (None, None) => "saved".to_owned(),
                    odd => format!("{odd:?}"),
                });
                format!("{} {change}", reservation.status().as_str())
            }
            Err(ReservationError::HoldExpired(_)) => "HOLD_EXPIRED".to_owned(),
            Err(ReservationError::Closed { .. }) => "CLOSED".to_owned(),
            Err(ReservationError::NotFound(_)) => "NOT_FOUND".to_owned(),
            Err(error @ ReservationError::OutOfStock { .. }) => panic!("{error}"),
        }
    }

    #[test]
    fn every_state_answers_every_command() {
        use ReservationCommand::{Commit, Pin, Release, Return};
        const STARTS: [Option<Status>; 8] = [
            None,
            Some(HELD),
            Some(OVER),
            Some(Status::Pinned),
            Some(Status::Committed),
            Some(VERDICT),
            Some(EXPIRED),
            Some(Status::Returned),
        ];
        let table = [
            (
                hold(LATER.plus(std::time::Duration::from_secs(1))),
                [
                    "held Reserve/Reserved",
                    "held saved",
                    "held saved",
                    "pinned -",
                    "committed -",
                    "CLOSED",
                    "held Reserve/Reserved",
                    "CLOSED",
                ],
            ),
            (
                Pin,
                [
                    "NOT_FOUND",
                    "pinned saved",
                    "HOLD_EXPIRED",
                    "pinned -",
                    "committed -",
                    "CLOSED",
                    "HOLD_EXPIRED",
                    "CLOSED",
                ],
            ),
            (
                Commit,
                [
                    "NOT_FOUND",
                    "CLOSED",
                    "HOLD_EXPIRED",
                    "committed Commit/Committed",
                    "committed -",
                    "CLOSED",
                    "HOLD_EXPIRED",
                    "CLOSED",
                ],
            ),
            (
                Release,
                [
                    "released saved",
                    "released Unreserve/Released",
                    "released Unreserve/Released",
                    "released Unreserve/Released",
                    "CLOSED",
                    "released -",
                    "released saved",
                    "CLOSED",
                ],
            ),
            (
                Return,
                [
                    "NOT_FOUND",
                    "CLOSED",
                    "CLOSED",
                    "CLOSED",
                    "returned Return/Released",
                    "CLOSED",
                    "CLOSED",
                    "returned -",
                ],
            ),
        ];
        for (command, expected) in table {
            for (from, expected) in STARTS.into_iter().zip(expected) {
                assert_eq!(outcome(from, command.clone()), expected, "{command:?} from {from:?}");
            }
        }
    }

    #[test]
    fn only_a_hold_that_ran_out_expires() {
        let expired = at(OVER).expire(NOW).unwrap();
        assert_eq!(expired.reservation.status(), EXPIRED);
        let effect = Some(StockEffect::Unreserve);
        let change = Change { effect, event: Some(ReservationEvent::Released), cover: false };
        assert_eq!(expired.change, Some(change));
        for status in [HELD, Status::Pinned, Status::Committed, VERDICT, EXPIRED, Status::Returned] {
            assert_eq!(at(status).expire(NOW), None, "{status:?}");
        }
    }

    #[test]
    fn an_extension_never_shortens_a_hold() {
        assert_eq!(outcome(Some(HELD), hold(LATER)), "held -");
        assert_eq!(outcome(Some(HELD), hold(NOW)), "held -");
        let longer = LATER.plus(std::time::Duration::from_millis(1));
        let extended = Reservation::decide(order(), Some(at(HELD)), hold(longer), NOW).unwrap();
        assert_eq!(extended.reservation.status(), Status::Held { expires_at: longer });
    }

    #[test]
    fn a_release_before_the_hold_makes_the_late_hold_fail() {
        let released = Reservation::decide(order(), None, ReservationCommand::Release, NOW).unwrap().reservation;
        assert!(released.is_tombstone());
        let late = Reservation::decide(order(), Some(released), hold(LATER), NOW);
        assert!(matches!(late, Err(ReservationError::Closed { .. })), "{late:?}");
    }

    #[test]
    fn the_version_counts_what_was_told() {
        let mut current = None;
        let mut versions = Vec::new();
        for command in [hold(LATER), ReservationCommand::Pin, ReservationCommand::Commit, ReservationCommand::Return] {
            let next = Reservation::decide(order(), current, command, NOW).unwrap().reservation;
            versions.push(next.version());
            current = Some(next);
        }
        assert_eq!(versions, [1, 1, 2, 3]);
    }
}
