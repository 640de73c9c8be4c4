//! When an event of an order may be used, given that the bus may reorder and repeat.

use std::time::Duration;

/// How long the successor of a missing event waits. Afterwards it is used anyway: a user who hears late of a shipped
/// order is worse off than one whose inbox skips a version.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An event of an order, as far as its place in the order's history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The order's version after the event.
    pub version: u64,
    /// It is `order.created`: nothing published comes before it, whatever its version.
    pub opens: bool,
    /// How long ago it happened.
    pub age: Duration,
}

/// What to do with an [`Arrival`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is the next one, or its predecessor was waited for in vain: use it, and it is the newest from now on.
    Use,
    /// A newer one was used already: the inbox must not go back, but an outcome that nobody was told of still counts.
    Late,
    /// An earlier one is missing: try again later.
    Wait,
}

/// Decides by the newest version used so far, `None` when none was.
pub fn rule(newest_used: Option<u64>, arrival: Arrival) -> Ruling {
    let newest = newest_used.unwrap_or(0);
    if arrival.version <= newest {
        return Ruling::Late;
    }
    let is_next = arrival.version == newest + 1 || (arrival.opens && newest_used.is_none());
    if is_next || arrival.age > PATIENCE { Ruling::Use } else { Ruling::Wait }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn young(version: u64) -> Arrival {
        Arrival { version, opens: false, age: Duration::ZERO }
    }

    #[test]
    fn the_next_version_is_used_and_a_gap_waits_until_patience_ends() {
        assert_eq!(rule(Some(1), young(2)), Ruling::Use);
        assert_eq!(rule(Some(1), young(3)), Ruling::Wait);
        assert_eq!(rule(None, young(2)), Ruling::Wait);
        assert_eq!(rule(Some(1), Arrival { age: PATIENCE, ..young(3) }), Ruling::Wait);
        let late = Arrival { age: PATIENCE + Duration::from_millis(1), ..young(3) };
        assert_eq!(rule(Some(1), late), Ruling::Use);
    }

    #[test]
    fn what_is_not_newer_is_late() {
        assert_eq!(rule(Some(3), young(3)), Ruling::Late);
        assert_eq!(rule(Some(3), young(1)), Ruling::Late);
    }

    #[test]
    fn the_first_event_needs_no_predecessor_although_a_draft_had_versions() {
        assert_eq!(rule(None, Arrival { opens: true, ..young(7) }), Ruling::Use);
        assert_eq!(rule(Some(3), Arrival { opens: true, ..young(7) }), Ruling::Wait);
    }

    proptest! {
        #[test]
        fn the_newest_version_never_goes_back(arrivals in proptest::collection::vec((1_u64..8, 0_u64..60), 0..40)) {
            let mut newest = None;
            for (version, age) in arrivals {
                let arrival = Arrival { version, opens: version == 1, age: Duration::from_secs(age) };
                if rule(newest, arrival) == Ruling::Use {
                    prop_assert!(Some(version) > newest);
                    newest = Some(version);
                }
            }
        }

        #[test]
        fn events_younger_than_patience_are_used_in_order_and_completely(
            order in Just((1_u64..=6).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut waiting = order;
            let mut used = Vec::new();
            while !waiting.is_empty() {
                waiting.retain(|version| {
                    let ruling = rule(used.last().copied(), young(*version));
                    if ruling == Ruling::Use { used.push(*version) }
                    ruling == Ruling::Wait
                });
            }
            prop_assert_eq!(used, (1..=6).collect::<Vec<_>>());
        }
    }
}
