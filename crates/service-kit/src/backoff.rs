//! Waits between attempts.

use std::time::Duration;

/// Doubles from `first` to `most`, each wait jittered to between half and all of it, so that those who failed together do
/// not try again together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Backoff {
    /// The wait after `failures` failures (1 for the first); `entropy` decides the jitter.
    pub fn wait(&self, failures: u32, entropy: u64) -> Duration {
        let full =
            self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.most);
        let half = full / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(entropy % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_are_jittered() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(5) };
        for (failures, full) in [(1, 100), (2, 200), (3, 400), (10, 5000), (64, 5000), (u32::MAX, 5000)] {
            for entropy in [0, 1, 12_345, u64::MAX] {
                let wait = backoff.wait(failures, entropy).as_millis();
                assert!((full / 2..=full).contains(&wait), "{failures} {entropy}: {wait}");
            }
        }
        assert_ne!(backoff.wait(3, 1_000), backoff.wait(3, 100_000));
    }
}
