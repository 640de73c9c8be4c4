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
mod tests;
