//! The slow-query log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is used until [`set_slow_threshold`] is called.
const DEFAULT_MS: u64 = 200;

/// Milliseconds; 0 is off.
static THRESHOLD_MS: AtomicU64 = AtomicU64::new(DEFAULT_MS);

/// From which time on an operation of a store is slow: it is logged and counted. Whole milliseconds; zero switches it off.
pub fn set_slow_threshold(threshold: Duration) {
    THRESHOLD_MS.store(u64::try_from(threshold.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// From which time on an operation of a store is slow; `None`: none is.
pub fn slow_threshold() -> Option<Duration> {
    match THRESHOLD_MS.load(Ordering::Relaxed) {
        0 => None,
        millis => Some(Duration::from_millis(millis)),
    }
}
