//! A Prometheus summary over a sliding window, which the `prometheus` crate lacks.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType, Quantile, Summary as SummaryProto};
use sketches_ddsketch::{Config, DDSketch};

/// The window slides in this many steps: at any time it covers at least four fifths of its length.
const STEPS: u64 = 5;
/// A quantile is at most this much off, relative to the true one: 1 %.
const RELATIVE_ERROR: f64 = 0.01;
/// Bins of a sketch; at 1 % they span more than 17 powers of ten before the smallest values are merged into one bin.
const MAX_BINS: u32 = 2048;
/// Smaller values count as zero.
const SMALLEST: f64 = 1e-9;

/// Tells the time since some fixed moment.
type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A distribution told by its quantiles: `name{quantile="0.99"}`, `name_sum`, `name_count`.
///
/// - The quantiles are of the values observed in the window, at most 1 % off (a DDSketch); `NaN` when there were none,
///   as Prometheus's own client libraries have it.
/// - Sum and count are of all values since the start, so that `rate` works on them. A restart sets them back to nothing.
/// - It takes at most about 200 KiB, whatever is observed.
/// - Quantiles of several processes can't be combined; where that is wanted a histogram is.
///
/// Clones share what was observed.
#[derive(Clone)]
pub struct Summary(Arc<Inner>);

struct Inner {
    desc: Desc,
    quantiles: Vec<f64>,
    step: Duration,
    elapsed: Elapsed,
    state: Mutex<State>,
}

struct State {
    /// The sketch of step `n` is at `n % STEPS`.
    steps: Vec<Step>,
    count: u64,
    sum: f64,
}

struct Step {
    number: u64,
    sketch: DDSketch,
}

impl Summary {
    /// A summary in the process's registry, over a window of this length.
    ///
    /// # Panics
    /// When the name is taken or malformed: a mistake in the program, found by its first test.
    pub fn register(name: &str, help: &str, quantiles: &[f64], window: Duration) -> Self {
        let summary = Self::unregistered(name, help, quantiles, window);
        prometheus::register(Box::new(summary.clone())).unwrap_or_else(|error| panic!("metric {name}: {error}"));
        summary
    }

    /// A summary that belongs to no registry yet: for a registry of one's own.
    ///
    /// # Panics
    /// When the name is malformed.
    pub fn unregistered(name: &str, help: &str, quantiles: &[f64], window: Duration) -> Self {
        let start = Instant::now();
        Self::with_clock(name, help, quantiles, window, move || start.elapsed())
    }

    /// The same with a clock: what tells the time since some fixed moment, and never goes back.
    ///
    /// # Panics
    /// When the name is malformed.
    pub fn with_clock(
        name: &str,
        help: &str,
        quantiles: &[f64],
        window: Duration,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), std::collections::HashMap::new())
            .unwrap_or_else(|error| panic!("metric {name}: {error}"));
        let steps = (0..STEPS).map(|number| Step { number, sketch: empty_sketch() }).collect();
        Self(Arc::new(Inner {
            desc,
            quantiles: quantiles.iter().copied().filter(|q| (0.0..=1.0).contains(q)).collect(),
            step: (window / STEPS as u32).max(Duration::from_millis(1)),
            elapsed: Arc::new(elapsed),
            state: Mutex::new(State { steps, count: 0, sum: 0.0 }),
        }))
    }

    /// Adds a value. What is no finite number is left out; nothing is added while metrics are off.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() || !super::enabled() {
            return;
        }
        let now = self.0.step_now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        state.sum += value;
        let step = &mut state.steps[(now % STEPS) as usize];
        if step.number < now {
            *step = Step { number: now, sketch: empty_sketch() };
        }
        step.sketch.add(value);
    }

    /// Values observed since the start.
    pub fn count(&self) -> u64 {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl Inner {
    fn step_now(&self) -> u64 {
        ((self.elapsed)().as_nanos() / self.step.as_nanos()) as u64
    }

    fn read(&self) -> SummaryProto {
        let now = self.step_now();
        let mut window = empty_sketch();
        let mut summary = SummaryProto::default();
        {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            for step in state.steps.iter().filter(|step| step.number + STEPS > now) {
                // Fails only for sketches of another configuration.
                let _ = window.merge(&step.sketch);
            }
            summary.set_sample_count(state.count);
            summary.set_sample_sum(state.sum);
        }
        let quantiles = self.quantiles.iter().map(|q| {
            let mut quantile = Quantile::default();
            quantile.set_quantile(*q);
            quantile.set_value(window.quantile(*q).ok().flatten().unwrap_or(f64::NAN));
            quantile
        });
        summary.set_quantile(quantiles.collect());
        summary
    }
}

impl Collector for Summary {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metric = Metric::default();
        metric.set_summary(self.0.read());
        let mut family = MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Summary").field(&self.0.desc.fq_name).finish()
    }
}

fn empty_sketch() -> DDSketch {
    DDSketch::new(Config::new(RELATIVE_ERROR, MAX_BINS, SMALLEST))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::*;

    /// A summary over ten minutes and the second that its clock shows.
    fn a_summary() -> (Summary, Arc<AtomicU64>) {
        let second = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&second);
        let summary =
            Summary::with_clock("test_dollars", "help", &[0.5, 0.9, 0.99], Duration::from_mins(10), move || {
                Duration::from_secs(clock.load(Ordering::Relaxed))
            });
        (summary, second)
    }

    fn text(summary: &Summary) -> String {
        let registry = Registry::new();
        registry.register(Box::new(summary.clone())).unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn quantile(summary: &Summary, q: f64) -> f64 {
        let read = summary.0.read();
        read.get_quantile().iter().find(|found| (found.quantile() - q).abs() < 1e-9).unwrap().value()
    }

    #[test]
    fn it_is_a_prometheus_summary_and_says_nan_when_nothing_was_observed() {
        let (summary, _) = a_summary();
        assert_eq!(
            text(&summary),
            "# HELP test_dollars help\n# TYPE test_dollars summary\n\
             test_dollars{quantile=\"0.5\"} NaN\ntest_dollars{quantile=\"0.9\"} NaN\n\
             test_dollars{quantile=\"0.99\"} NaN\ntest_dollars_sum 0\ntest_dollars_count 0\n"
        );
    }

    #[test]
    fn quantiles_are_within_one_percent_of_the_true_ones() {
        let (summary, _) = a_summary();
        for value in 1..=10_000 {
            summary.observe(f64::from(value));
        }
        for (q, true_value) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
            let found = quantile(&summary, q);
            assert!((found - true_value).abs() <= true_value * 0.011, "{q}: {found}");
        }
    }

    #[test]
    fn values_leave_the_window_but_never_the_sum_and_the_count() {
        let (summary, second) = a_summary();
        summary.observe(1000.0);
        second.store(5 * 60, Ordering::Relaxed);
        summary.observe(10.0);
        assert!(quantile(&summary, 0.99) < 11.0, "the lower of two is the 0.99 of DDSketch's rank");
        summary.observe(10.0);
        // 9:59: the first is still there.
        second.store(10 * 60 - 1, Ordering::Relaxed);
        assert_eq!(summary.0.read().sample_count(), 3);
        let highest = |summary: &Summary| summary.0.quantiles.iter().map(|q| quantile(summary, *q)).fold(0.0, f64::max);
        summary.observe(2000.0);
        summary.observe(2000.0);
        assert!(highest(&summary) > 1900.0);
        // 10:00: the first two minutes are gone, the rest is there.
        second.store(10 * 60, Ordering::Relaxed);
        assert!(highest(&summary) > 1900.0);
        // 17:59 and 18:00: the last step leaves as a whole.
        second.store(18 * 60 - 1, Ordering::Relaxed);
        assert!(highest(&summary) > 1900.0);
        second.store(18 * 60, Ordering::Relaxed);
        assert!(quantile(&summary, 0.5).is_nan());
        let read = summary.0.read();
        assert_eq!((read.sample_count(), read.sample_sum()), (5, 5020.0));
    }

    #[test]
    fn a_long_silence_brings_nothing_old_back() {
        let (summary, second) = a_summary();
        summary.observe(1000.0);
        // A whole number of turns later the same slot is written again.
        second.store(50 * 60, Ordering::Relaxed);
        summary.observe(1.0);
        assert!((quantile(&summary, 0.99) - 1.0).abs() < 0.02);
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let (summary, _) = a_summary();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            summary.observe(value);
        }
        assert_eq!(summary.count(), 0);
    }
}
