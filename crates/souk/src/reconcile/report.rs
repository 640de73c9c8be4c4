//! What an audit comes to.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Finding;

/// What was read and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Orders that any store knows.
    pub orders: u64,
    /// Of them, those that were left alone because they are in progress.
    pub in_progress: u64,
    /// Inboxes.
    pub inboxes: u64,
    /// What disagrees, the worst first.
    pub findings: Vec<Finding>,
    /// Whether there were too many findings to go on.
    pub is_cut_short: bool,
    /// What could not be looked at, and where to look instead.
    pub notes: Vec<&'static str>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether nothing disagrees.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "orders": self.orders,
            "in_progress": self.in_progress,
            "inboxes": self.inboxes,
            "took_ms": self.took.as_millis() as u64,
            "cut_short": self.is_cut_short,
            "notes": self.notes,
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}\n")?;
        }
        if self.is_cut_short {
            writeln!(f, "too many disagreements to go on: see to these first")?;
        }
        let orders = |count| format!("{count} order{}", if count == 1 { "" } else { "s" });
        match self.findings.len() {
            0 => write!(f, "nothing disagrees")?,
            1 => write!(f, "1 disagreement")?,
            many => write!(f, "{many} disagreements")?,
        }
        write!(
            f,
            ": {} ({} in progress, not judged) and {} inboxes, read in {:.1} s",
            orders(self.orders),
            self.in_progress,
            self.inboxes,
            self.took.as_secs_f64()
        )?;
        for note in &self.notes {
            write!(f, "\nnot looked at: {note}")?;
        }
        Ok(())
    }
}
