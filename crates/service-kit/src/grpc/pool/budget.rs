//! How many calls may be repeated: a tenth of all, and a few more at first, so that repeats never multiply an outage.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a call earns and a repeat costs.
const EARNED: u32 = 1;
const COST: u32 = 10;
/// Repeats that may be saved up.
const MOST: u32 = 100 * COST;

/// Earned by calls, spent on repeats.
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl Budget {
    /// A call is made.
    pub(super) fn earn(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
            (saved < MOST).then(|| (saved + EARNED).min(MOST))
        });
    }

    /// Whether a call may be repeated.
    pub(super) fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(COST)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_the_savings_are_spent_one_call_in_ten_is_repeated() {
        let budget = Budget::default();
        let first = (0..1000).take_while(|_| budget.spend()).count();
        assert_eq!(first, 100);
        let repeated = (0..1000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        assert_eq!(repeated, 100);
    }
}
