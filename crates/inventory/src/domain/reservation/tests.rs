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
            ["NOT_FOUND", "CLOSED", "CLOSED", "CLOSED", "returned Return/Released", "CLOSED", "CLOSED", "returned -"],
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
