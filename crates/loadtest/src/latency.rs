//! How long answers took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What is kept apart: a microsecond; longer than this is kept as this.
const LONGEST_US: u64 = 600_000_000;
/// Values are exact to one part in a thousand.
const DIGITS: u8 = 3;

/// A record of latencies of bounded size: about 300 KiB however many there are.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("1 to 600 million with 3 digits is valid"))
    }
}

impl Latency {
    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).max(1));
    }

    /// Adds all of another record.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The usual percentiles; all zero of an empty record.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1000.0,
        }
    }
}

/// Latencies in milliseconds that so many of a hundred answers did not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub p50_ms: f64,
    /// Nine in ten.
    pub p90_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// All but one in a thousand.
    pub p999_ms: f64,
    /// All.
    pub max_ms: f64,
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        write!(
            f,
            "p50 {p50_ms:.2} ms  p90 {p90_ms:.2} ms  p99 {p99_ms:.2} ms  p99.9 {p999_ms:.2} ms  max {max_ms:.2} ms"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, wanted: f64) -> bool {
        (value - wanted).abs() <= wanted * 0.002
    }

    #[test]
    fn percentiles_of_one_to_a_thousand_milliseconds() {
        let mut latency = Latency::default();
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        let found = latency.percentiles();
        assert!(near(found.p50_ms, 500.0), "{found:?}");
        assert!(near(found.p90_ms, 900.0), "{found:?}");
        assert!(near(found.p99_ms, 990.0), "{found:?}");
        assert!(near(found.max_ms, 1000.0), "{found:?}");
    }

    #[test]
    fn merging_is_as_if_one_had_recorded_all() {
        let (mut fast, mut slow) = (Latency::default(), Latency::default());
        for _ in 0..99 {
            fast.record(Duration::from_millis(1));
        }
        slow.record(Duration::from_millis(100));
        fast.merge(&slow);
        assert_eq!(fast.count(), 100);
        assert!(near(fast.percentiles().p99_ms, 1.0));
        assert!(near(fast.percentiles().max_ms, 100.0));
    }

    #[test]
    fn what_is_out_of_bounds_is_kept_as_the_bound() {
        let mut latency = Latency::default();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_hours(2));
        assert_eq!(latency.count(), 2);
        assert!(near(latency.percentiles().max_ms, 600_000.0));
    }

    #[test]
    fn of_nothing_all_is_zero() {
        assert_eq!(Latency::default().percentiles(), Percentiles::default());
    }
}
