//! What the measurement found.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Mode, Plan};
use crate::latency::{Latency, Percentiles};
use crate::stats;

/// The heading of [`Slice`]'s lines.
pub(super) const HEADING: &str =
    "round  server      deliveries/s  CPU s/million   p50 ms   p99 ms  KiB/socket   RSS KiB   lost";

/// What one turn found.
pub(super) struct Measured {
    pub(super) deliveries: u64,
    pub(super) elapsed: Duration,
    pub(super) cpu: Option<Duration>,
    pub(super) latency: Latency,
    pub(super) resident_kib: u64,
    pub(super) resident_kib_per_socket: f64,
    pub(super) lost: u64,
    pub(super) missing: u64,
}

/// One server under load for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    /// From 1; each round has one slice of every server.
    pub round: u32,
    /// Its name.
    pub server: String,
    /// Copies of messages that came, to all clients.
    pub deliveries: u64,
    /// Deliveries a second.
    pub throughput: f64,
    /// Processor seconds of the server for a million deliveries.
    pub cpu_s_per_million: Option<f64>,
    /// At saturation from sending to the sender's own copy; at a rate from when it was to be sent to a listener's.
    pub latency: Percentiles,
    /// Resident memory of the server, at the end of the turn.
    pub resident_kib: u64,
    /// By how much that is more than before the first turn, for each client.
    pub resident_kib_per_socket: f64,
    /// Connections that ended by themselves.
    pub lost: u64,
    /// Deliveries that never came, at a rate.
    pub missing: u64,
}

impl Slice {
    pub(super) fn new(round: u32, server: &str, measured: Measured) -> Self {
        let Measured { deliveries, elapsed, cpu, latency, resident_kib, resident_kib_per_socket, lost, missing } =
            measured;
        let cpu = cpu.filter(|_| deliveries > 0);
        Self {
            round,
            server: server.to_owned(),
            deliveries,
            throughput: deliveries as f64 / elapsed.as_secs_f64().max(f64::EPSILON),
            cpu_s_per_million: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries as f64),
            latency: latency.percentiles(),
            resident_kib,
            resident_kib_per_socket,
            lost,
            missing,
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, server, throughput, latency, resident_kib, resident_kib_per_socket, lost, .. } = self;
        let cpu = self.cpu_s_per_million.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.3}"));
        write!(
            f,
            "{round:>5}  {server:<10}  {throughput:>12.0}  {cpu:>13}  {:>7.2}  {:>7.2}",
            latency.p50_ms, latency.p99_ms
        )?;
        write!(f, "  {resident_kib_per_socket:>10.2}  {resident_kib:>8}  {:>5}", lost + self.missing)
    }
}

/// Least, middle and greatest value of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let [min, max] = stats::range(values)?;
        Some(Self { min, median: stats::median(values)?, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3} to {:.3}]", self.median, self.min, self.max)
    }
}

/// One figure of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it tells.
    pub name: &'static str,
    /// Whose.
    pub server: String,
    /// Over the rounds.
    pub value: Spread,
    /// By how much more than the first server's of the same round it is, over the rounds: a ratio, but a difference for memory.
    pub against_first: Option<Spread>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order of the command line.
    pub servers: Vec<String>,
    /// In the order of time.
    pub slices: Vec<Slice>,
    #[serde(skip)]
    idle: bool,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        let servers = plan.servers.iter().map(|server| server.name.clone()).collect();
        Self { servers, slices: Vec::new(), idle: matches!(plan.mode, Mode::Idle) }
    }

    /// Whether something came, and no connection and no message was lost.
    pub fn is_clean(&self) -> bool {
        let fine = |slice: &Slice| slice.lost == 0 && slice.missing == 0 && (self.idle || slice.deliveries > 0);
        !self.slices.is_empty() && self.slices.iter().all(fine)
    }

    /// Each server's figures.
    pub fn figures(&self) -> Vec<Figure> {
        type Read = fn(&Slice) -> Option<f64>;
        let of_load: [(&str, Read); 4] = [
            ("CPU s per million", |slice| slice.cpu_s_per_million),
            ("deliveries/s", |slice| Some(slice.throughput)),
            ("p50 ms", |slice| Some(slice.latency.p50_ms)),
            ("p99 ms", |slice| Some(slice.latency.p99_ms)),
        ];
        let of_memory: [(&str, Read); 1] = [("KiB per socket", |slice| Some(slice.resident_kib_per_socket))];
        let mut figures = Vec::new();
        for (name, read) in if self.idle { &of_memory[..] } else { &of_load[..] } {
            for (place, server) in self.servers.iter().enumerate() {
                let (mut values, mut against) = (Vec::new(), Vec::new());
                for slice in self.slices.iter().filter(|slice| slice.server == *server) {
                    let Some(value) = read(slice) else { continue };
                    values.push(value);
                    let first =
                        self.slices.iter().find(|other| other.round == slice.round && other.server == self.servers[0]);
                    if let Some(first) = first.and_then(read).filter(|_| place > 0) {
                        against.extend(if self.idle { Some(value - first) } else { stats::ratio(value, first) });
                    }
                }
                if let Some(value) = Spread::of(&values) {
                    let against_first = Spread::of(&against);
                    figures.push(Figure { name, server: server.clone(), value, against_first });
                }
            }
        }
        figures
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "median [least to greatest] of the rounds")?;
        for figure in self.figures() {
            write!(f, "{:<18} {:<10} {}", figure.name, figure.server, figure.value)?;
            if let Some(against) = figure.against_first {
                let how = if self.idle { "more than" } else { "times" };
                write!(f, "   {against} {how} {}", self.servers[0])?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(round: u32, server: &str, deliveries: u64, cpu_s: u64) -> Slice {
        let latency = Latency::default();
        let (elapsed, cpu) = (Duration::from_secs(2), Some(Duration::from_secs(cpu_s)));
        let (resident_kib, resident_kib_per_socket) = (100, deliveries as f64 / 1e6);
        let measured =
            Measured { deliveries, elapsed, cpu, latency, resident_kib, resident_kib_per_socket, lost: 0, missing: 0 };
        Slice::new(round, server, measured)
    }

    fn report(idle: bool) -> Report {
        let slices = vec![
            slice(1, "a", 1_000_000, 2),
            slice(1, "b", 1_000_000, 4),
            slice(2, "b", 2_000_000, 12),
            slice(2, "a", 1_000_000, 4),
        ];
        Report { servers: vec!["a".to_owned(), "b".to_owned()], slices, idle }
    }

    #[test]
    fn servers_are_compared_within_their_round() {
        let figures = report(false).figures();
        assert_eq!(figures[0].value, Spread { min: 2.0, median: 3.0, max: 4.0 });
        assert_eq!(figures[0].against_first, None);
        assert_eq!(figures[1].against_first, Some(Spread { min: 1.5, median: 1.75, max: 2.0 }));
    }

    #[test]
    fn memory_is_compared_by_its_difference() {
        let figures = report(true).figures();
        assert_eq!(figures[1].against_first, Some(Spread { min: 0.0, median: 0.5, max: 1.0 }));
    }

    #[test]
    fn what_was_lost_spoils_it() {
        let mut report = report(false);
        assert!(report.is_clean());
        report.slices[1].lost = 1;
        assert!(!report.is_clean());
        report.slices.clear();
        assert!(!report.is_clean());
    }
}
