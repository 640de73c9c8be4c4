//! What came of the requests of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::latency::{Latency, Percentiles};

/// Counts of bounded size: statuses are three digits, failures a handful of words.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer, by what went wrong.
    pub failures: BTreeMap<&'static str, u64>,
    /// Answers that are not what was expected; they are among `answers` too.
    pub unexpected: u64,
    /// One of those, told.
    pub example: Option<String>,
    /// Connections that the server had closed and that were opened again.
    pub reopened: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
    /// Of everything that was answered.
    pub latency: Latency,
}

impl Tally {
    /// Counts an answer.
    pub fn answer(&mut self, status: u16, body_bytes: u64, took: Duration) {
        *self.answers.entry(status).or_default() += 1;
        self.body_bytes += body_bytes;
        self.latency.record(took);
    }

    /// Counts an answer that was counted already as one that should have been another.
    pub fn unexpected(&mut self, told: impl FnOnce() -> String) {
        self.unexpected += 1;
        self.example.get_or_insert_with(told);
    }

    /// Counts a request without an answer.
    pub fn failure(&mut self, kind: &'static str) {
        *self.failures.entry(kind).or_default() += 1;
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: Self) {
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.unexpected += other.unexpected;
        self.example = self.example.take().or(other.example);
        self.reopened += other.reopened;
        self.body_bytes += other.body_bytes;
        self.latency.merge(&other.latency);
    }

    /// All answers.
    pub fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// All requests without an answer.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// A run as it is reported.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// From the first request to the last answer, in seconds.
    pub elapsed_s: f64,
    /// Answers, whatever they said.
    pub answered: u64,
    /// Answers a second.
    pub throughput: f64,
    /// Answers by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer, by what went wrong.
    pub failures: BTreeMap<&'static str, u64>,
    /// Answers that are not what was expected.
    pub unexpected: u64,
    /// Requests whose time had come and that no connection was free for.
    pub unsent: u64,
    /// Connections that the server had closed and that were opened again.
    pub reopened: u64,
    /// Bytes of an answer's body, on average.
    pub body_bytes_mean: f64,
    /// In a closed loop from sending, in an open one from the intended time of sending.
    pub latency: Percentiles,
    /// Processor seconds of the server's processes for 1000 answers.
    pub cpu_s_per_1000: Option<f64>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "answers     {} in {:.1} s, {:.1}/s", self.answered, self.elapsed_s, self.throughput)?;
        for (status, count) in &self.answers {
            writeln!(f, "  {status}       {count}")?;
        }
        for (kind, count) in &self.failures {
            writeln!(f, "  {kind}: {count}")?;
        }
        if self.unexpected > 0 {
            writeln!(f, "unexpected  {} of the answers", self.unexpected)?;
        }
        if self.unsent > 0 {
            writeln!(f, "unsent      {}: no connection was free in time; give more --connections", self.unsent)?;
        }
        if self.reopened > 0 {
            writeln!(f, "reopened    {} connections that the server had closed", self.reopened)?;
        }
        writeln!(f, "latency     {}", self.latency)?;
        write!(f, "body        {:.0} bytes on average", self.body_bytes_mean)?;
        if let Some(cpu) = self.cpu_s_per_1000 {
            write!(f, "\nCPU         {cpu:.4} s per 1000 answers")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_loses_nothing() {
        let ms = Duration::from_millis;
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.answer(200, 10, ms(1));
        one.answer(201, 5, ms(2));
        other.answer(200, 10, ms(3));
        other.unexpected(|| "first".to_owned());
        other.unexpected(|| "second".to_owned());
        other.failure("timeout");
        one.merge(other);
        assert_eq!(one.answers, BTreeMap::from([(200, 2), (201, 1)]));
        assert_eq!((one.answered(), one.failed(), one.unexpected), (3, 1, 2));
        assert_eq!((one.body_bytes, one.latency.count()), (25, 3));
        assert_eq!(one.example.as_deref(), Some("first"));
    }
}
