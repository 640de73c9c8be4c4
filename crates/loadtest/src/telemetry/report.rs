//! What the measurement found.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::settings::SAMPLED;
use crate::latency::{Latency, Percentiles};
use crate::load::Outcome;
use crate::otlp::Received;
use crate::rounds::Variant;
use crate::stats;

/// One variant under load for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// From 1; each round has one slice of either variant.
    pub round: u32,
    /// Which server.
    pub variant: Variant,
    /// Answers.
    pub requests: u64,
    /// Answers per second.
    pub throughput: f64,
    /// Latencies.
    pub latency: Percentiles,
    /// Processor seconds of the server for 1000 answers.
    pub cpu_s_per_1000: Option<f64>,
    /// Processors that were busy with something else than this server and the driver, on average: 0 on a quiet machine.
    pub others_busy: Option<f64>,
    #[serde(skip)]
    cpu: Option<Duration>,
    #[serde(skip)]
    histogram: Latency,
}

impl Slice {
    /// From what the load found; `cpu` is the server's, `others` that of everybody but server and driver.
    pub fn new(
        round: u32,
        variant: Variant,
        outcome: &Outcome,
        cpu: Option<Duration>,
        others: Option<Duration>,
    ) -> Self {
        let summary = outcome.summary(cpu);
        Self {
            round,
            variant,
            requests: summary.answered,
            throughput: summary.throughput,
            latency: summary.latency,
            cpu_s_per_1000: summary.cpu_s_per_1000,
            others_busy: others.map(|others| others.as_secs_f64() / summary.elapsed_s.max(f64::EPSILON)),
            cpu,
            histogram: outcome.tally.latency.clone(),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, variant, throughput, latency, .. } = self;
        write!(
            f,
            "{round:>5}  {:<9}  {throughput:>10.1}  {:>7.2}  {:>7.2}  {:>7.2}",
            variant.name(),
            latency.p50_ms,
            latency.p90_ms,
            latency.p99_ms
        )?;
        write!(f, "  {:>10}  {:>6}", or_dash(self.cpu_s_per_1000, 4), or_dash(self.others_busy, 2))
    }
}

/// The heading of [`Slice`]'s lines.
pub const HEADING: &str = "round  telemetry  requests/s   p50 ms   p90 ms   p99 ms  CPU s/1000  others";

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// All slices of a variant.
#[derive(Clone, Debug, Serialize)]
pub struct Overall {
    /// Answers.
    pub requests: u64,
    /// Median of the slices' answers per second.
    pub throughput_median: Option<f64>,
    /// Latencies of all answers.
    pub latency: Percentiles,
    /// Processor seconds of the server for 1000 answers.
    pub cpu_s_per_1000: Option<f64>,
}

impl Overall {
    fn of(slices: &[Slice], variant: Variant) -> Self {
        let mut latency = Latency::default();
        let (mut requests, mut cpu, mut throughputs) = (0, Some(Duration::ZERO), Vec::new());
        for slice in slices.iter().filter(|slice| slice.variant == variant) {
            latency.merge(&slice.histogram);
            requests += slice.requests;
            cpu = cpu.zip(slice.cpu).map(|(sum, more)| sum + more);
            throughputs.push(slice.throughput);
        }
        Self {
            requests,
            throughput_median: stats::median(&throughputs),
            latency: latency.percentiles(),
            cpu_s_per_1000: cpu.and_then(|cpu| stats::ratio(cpu.as_secs_f64() * 1000.0, requests as f64)),
        }
    }
}

/// What the server with telemetry produced, warm-up included.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Produced {
    /// Requests that it was sent.
    pub requests: u64,
    /// What the receiver of traces counted.
    pub traces: Received,
    /// Requests of which a trace was to be expected; 0 where this build exports none.
    pub traces_expected: f64,
    /// Bytes in its log files.
    pub log_file_bytes: u64,
    /// Bytes on its standard output and standard error.
    pub output_bytes: u64,
}

impl Produced {
    /// `exports` tells whether the build exports traces.
    pub fn expecting(requests: u64, exports: bool) -> Self {
        Self { requests, traces_expected: if exports { requests as f64 * SAMPLED } else { 0.0 }, ..Self::default() }
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for, again and again.
    pub path: &'static str,
    /// Length of an answer's body.
    pub body_bytes: u64,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Processors of the machine, shared by driver and server.
    pub processors: usize,
    /// In the order in which they were measured.
    pub slices: Vec<Slice>,
    /// The server without telemetry.
    pub off: Overall,
    /// The server with it.
    pub on: Overall,
    /// Throughput with telemetry by throughput without: the ratio of the medians. The figure that is judged.
    pub ratio: Option<f64>,
    /// Least and greatest ratio of a round.
    pub ratio_range: Option<[f64; 2]>,
    /// Traces and logs.
    pub produced: Produced,
    /// Settings of the measurement that this build of souk does not know: what they switch was not measured.
    pub missing_settings: Vec<&'static str>,
    /// Whether it was ended before its time.
    pub interrupted: bool,
}

/// What the slices are seen under.
#[derive(Clone, Debug)]
pub struct Frame {
    /// See [`Report::body_bytes`].
    pub body_bytes: u64,
    /// See [`Report::connections`].
    pub connections: usize,
    /// See [`Report::missing_settings`].
    pub missing_settings: Vec<&'static str>,
    /// See [`Report::interrupted`].
    pub interrupted: bool,
}

impl Report {
    /// Draws the conclusions.
    pub fn new(frame: Frame, slices: Vec<Slice>, produced: Produced) -> Self {
        let off = Overall::of(&slices, Variant::Off);
        let on = Overall::of(&slices, Variant::On);
        let ratio = on.throughput_median.zip(off.throughput_median).and_then(|(on, off)| stats::ratio(on, off));
        let of = |round, variant| slices.iter().find(|slice| slice.round == round && slice.variant == variant);
        let rounds = slices.iter().map(|slice| slice.round).max().unwrap_or(0);
        let ratios: Vec<f64> = (1..=rounds)
            .filter_map(|round| stats::ratio(of(round, Variant::On)?.throughput, of(round, Variant::Off)?.throughput))
            .collect();
        Self {
            path: super::work::PATH,
            body_bytes: frame.body_bytes,
            connections: frame.connections,
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ratio_range: stats::range(&ratios),
            slices,
            off,
            on,
            ratio,
            produced,
            missing_settings: frame.missing_settings,
            interrupted: frame.interrupted,
        }
    }

    /// Whether the ratio reaches `least`; what was not measured reaches nothing.
    pub fn reaches(&self, least: f64) -> bool {
        self.ratio.is_some_and(|ratio| ratio >= least)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "GET {}, {} bytes a body, {} connections, {} processors\n\n{HEADING}",
            self.path, self.body_bytes, self.connections, self.processors
        )?;
        for slice in &self.slices {
            writeln!(f, "{slice}")?;
        }
        for (name, overall) in [("off", &self.off), ("on", &self.on)] {
            let (throughput, cpu) = (or_dash(overall.throughput_median, 1), or_dash(overall.cpu_s_per_1000, 4));
            let latency = overall.latency;
            writeln!(
                f,
                "  all  {name:<9}  {throughput:>10}  {:>7.2}  {:>7.2}  {:>7.2}  {cpu:>10}",
                latency.p50_ms, latency.p90_ms, latency.p99_ms
            )?;
        }
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        writeln!(f, "\nthroughput with telemetry  {}", self.ratio.map_or_else(|| "-".to_owned(), percent))?;
        if let Some([least, greatest]) = self.ratio_range {
            writeln!(f, "  rounds from {} to {}", percent(least), percent(greatest))?;
        }
        if let (Some(off), Some(on)) = (self.off.cpu_s_per_1000, self.on.cpu_s_per_1000) {
            let more = stats::ratio(on, off)
                .map_or_else(|| "-".to_owned(), |ratio| format!("{:+.1} %", ratio * 100.0 - 100.0));
            writeln!(f, "CPU of the server           {more} per request")?;
        }
        let Produced { requests, traces, traces_expected, log_file_bytes, output_bytes } = self.produced;
        writeln!(
            f,
            "traces                      {} of {requests} requests, about {traces_expected:.0} expected; {} spans in {} batches",
            traces.requests, traces.spans, traces.batches
        )?;
        write!(f, "logs                        {log_file_bytes} bytes in files, {output_bytes} on the console")?;
        if !self.missing_settings.is_empty() {
            let names = self.missing_settings.join(", ");
            write!(f, "\nNOT MEASURED                this build of souk does not know {names}")?;
        }
        if self.interrupted {
            write!(f, "\nended before its time")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(round: u32, variant: Variant, answers: u64, cpu_ms: u64) -> Slice {
        let mut outcome = Outcome { elapsed: Duration::from_secs(1), ..Outcome::default() };
        for _ in 0..answers {
            outcome.tally.answer(200, 10, Duration::from_millis(if variant == Variant::On { 2 } else { 1 }));
        }
        Slice::new(round, variant, &outcome, Some(Duration::from_millis(cpu_ms)), Some(Duration::from_millis(250)))
    }

    fn report(slices: Vec<Slice>) -> Report {
        let frame = Frame { body_bytes: 10, connections: 1, missing_settings: Vec::new(), interrupted: false };
        Report::new(frame, slices, Produced::default())
    }

    #[test]
    fn the_ratio_is_that_of_the_medians_and_its_range_that_of_the_rounds() {
        use Variant::{Off, On};
        let report = report(vec![
            slice(1, Off, 1000, 50),
            slice(1, On, 900, 50),
            slice(2, On, 800, 50),
            slice(2, Off, 1000, 50),
            slice(3, Off, 500, 50),
            slice(3, On, 850, 50),
        ]);
        assert_eq!(report.ratio, Some(0.85));
        assert_eq!(report.ratio_range, Some([0.8, 1.7]));
        assert!(report.reaches(0.85) && !report.reaches(0.86));
        assert_eq!(report.off.requests, 2500);
        assert_eq!(report.off.cpu_s_per_1000, Some(0.06));
        assert!(report.on.latency.p50_ms > report.off.latency.p50_ms);
        assert_eq!(report.slices[0].others_busy, Some(0.25));
    }

    #[test]
    fn what_was_not_measured_reaches_nothing() {
        let report = report(vec![slice(1, Variant::Off, 100, 1)]);
        assert_eq!((report.ratio, report.ratio_range), (None, None));
        assert!(!report.reaches(0.0));
    }

    #[test]
    fn the_text_names_what_is_missing() {
        let mut report = report(vec![slice(1, Variant::Off, 10, 1), slice(1, Variant::On, 10, 1)]);
        report.missing_settings = vec!["SOUK_METRICS"];
        let text = report.to_string();
        assert!(text.contains("does not know SOUK_METRICS"), "{text}");
        assert!(text.contains("100.0 %"), "{text}");
    }
}
