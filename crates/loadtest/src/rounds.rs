//! In which order two variants are measured.

use serde::Serialize;

/// Which of the two servers is under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// All telemetry off.
    Off,
    /// All telemetry on.
    On,
}

impl Variant {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// Each round measures both, one after the other, and the next round begins with the one that came last: ABBA.
///
/// A machine that grows steadily slower (heat, neighbours) then costs both the same.
pub fn abba(rounds: u32) -> impl Iterator<Item = (u32, Variant)> {
    (1..=rounds).flat_map(|round| {
        let order = if round % 2 == 1 { [Variant::Off, Variant::On] } else { [Variant::On, Variant::Off] };
        order.map(|variant| (round, variant))
    })
}

#[cfg(test)]
mod tests {
    use super::Variant::{Off, On};
    use super::*;

    #[test]
    fn rounds_alternate_and_turn_round() {
        let order: Vec<_> = abba(4).collect();
        assert_eq!(order, [(1, Off), (1, On), (2, On), (2, Off), (3, Off), (3, On), (4, On), (4, Off)]);
    }

    #[test]
    fn a_steady_drift_costs_both_the_same() {
        let at = |wanted| -> usize {
            abba(6).enumerate().filter(|(_, (_, variant))| *variant == wanted).map(|(place, _)| place).sum()
        };
        assert_eq!(at(Off), at(On));
    }
}
