//! How long HTTP requests took of late, from the process's own histogram.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use observability::metrics::HTTP_REQUESTS;
use prometheus::core::Collector as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How far back quantiles look.
const WINDOW: Duration = Duration::from_mins(1);
/// Two looks that are closer than this are one.
const APART: Duration = Duration::from_millis(500);
/// Routes whose answer waits for something to happen: their time says nothing about how fast the gateway is.
const WAITING: &[&str] = &["/socket.io", "/events", "/poll"];

/// Requests by the time they took: upper bound of each bucket in seconds, and how many took no longer than that and longer than
/// the bucket before; last those that took longer than any bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Buckets {
    /// Adds others of the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.bounds.is_empty() {
            self.clone_from(other);
        } else if self.bounds == other.bounds {
            for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
                *sum += count;
            }
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let before = |n: usize| earlier.counts.get(n).copied().unwrap_or(0);
        let counts = self.counts.iter().enumerate().map(|(n, count)| count.saturating_sub(before(n))).collect();
        Self { bounds: self.bounds.clone(), counts }
    }

    /// The time that this share of the requests did not exceed, in seconds, as Prometheus' `histogram_quantile` has it; `None`
    /// without requests.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = share * total as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            let count = *count as f64;
            if below + count >= rank && count > 0.0 {
                return Some(lower + (bound - lower) * ((rank - below) / count));
            }
            below += count;
            lower = *bound;
        }
        // It took longer than the last bound; how much longer nobody knows.
        self.bounds.last().copied()
    }
}

/// Looks at the histogram now and then.
#[derive(Default)]
pub struct Latency {
    looks: Mutex<VecDeque<(Instant, Buckets)>>,
}

impl Latency {
    /// The requests of at most the last minute, from the oldest look in it; at the first look all there ever were.
    pub fn lately(&self) -> Buckets {
        self.since_oldest(Instant::now(), http_requests())
    }

    fn since_oldest(&self, now: Instant, seen: Buckets) -> Buckets {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            looks.pop_front();
        }
        let lately = looks.front().map_or_else(|| seen.clone(), |(_, oldest)| seen.since(oldest));
        if looks.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            looks.push_back((now, seen));
        }
        lately
    }
}

/// All requests that the process has answered.
fn http_requests() -> Buckets {
    let mut all = Buckets::default();
    for family in HTTP_REQUESTS.collect() {
        for metric in family.get_metric() {
            let route =
                metric.get_label().iter().find(|label| label.name() == "route").map_or("", |label| label.value());
            if WAITING.iter().any(|waiting| route.starts_with(waiting)) {
                continue;
            }
            let histogram = metric.get_histogram();
            let mut below = 0;
            let mut buckets = Buckets::default();
            for bucket in histogram.get_bucket() {
                buckets.bounds.push(bucket.upper_bound());
                buckets.counts.push(bucket.cumulative_count() - below);
                below = bucket.cumulative_count();
            }
            buckets.counts.push(histogram.get_sample_count().saturating_sub(below));
            all.add(&buckets);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: [u64; 4]) -> Buckets {
        Buckets { bounds: vec![0.01, 0.1, 1.0], counts: counts.to_vec() }
    }

    #[test]
    fn quantiles_lie_between_the_bounds_of_their_bucket() {
        let seen = buckets([90, 8, 1, 1]);
        let about = |share: f64, expected: f64| {
            let quantile = seen.quantile(share).unwrap();
            assert!((quantile - expected).abs() < 1e-9, "{share}: {quantile}");
        };
        about(0.45, 0.005);
        about(0.94, 0.01 + 0.09 * 0.5);
        about(0.99, 1.0);
        about(0.999, 1.0);
        assert_eq!(buckets([0; 4]).quantile(0.5), None);
        assert_eq!(Buckets::default().quantile(0.5), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_sees_what_came_since_the_oldest_of_the_last_minute() {
        let latency = Latency::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(latency.since_oldest(at(0), buckets([5, 0, 0, 0])), buckets([5, 0, 0, 0]), "the first look");
        assert_eq!(latency.since_oldest(at(30), buckets([7, 1, 0, 0])), buckets([2, 1, 0, 0]));
        assert_eq!(latency.since_oldest(at(61), buckets([7, 1, 0, 4])), buckets([0, 0, 0, 4]));
    }

    #[test]
    fn what_gateways_saw_adds_up() {
        let mut both = Buckets::default();
        both.add(&buckets([1, 2, 3, 4]));
        both.add(&buckets([1, 0, 0, 1]));
        assert_eq!(both, buckets([2, 2, 3, 5]));
    }
}
