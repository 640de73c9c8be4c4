//! Says how far a run is, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// On a terminal, where a line is written over the one before.
const OFTEN: Duration = Duration::from_millis(500);
/// In a log, where each line stays.
const SELDOM: Duration = Duration::from_secs(5);

/// A run that is watched; the watching ends when it is dropped.
pub struct Progress {
    answered: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
    terminal: bool,
}

impl Progress {
    /// Watches a run of this name and duration.
    pub fn watch(name: String, duration: Duration) -> Self {
        let answered = Arc::<AtomicU64>::default();
        let terminal = std::io::stderr().is_terminal();
        let task = tokio::spawn(report(name, duration, Arc::clone(&answered), terminal));
        Self { answered, task, terminal }
    }

    /// The count that it shows.
    pub fn answered(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.answered)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

async fn report(name: String, duration: Duration, answered: Arc<AtomicU64>, terminal: bool) {
    let started = Instant::now();
    let mut before = (started, 0);
    loop {
        tokio::time::sleep(if terminal { OFTEN } else { SELDOM }).await;
        let now = (Instant::now(), answered.load(Ordering::Relaxed));
        let rate = (now.1 - before.1) as f64 / (now.0 - before.0).as_secs_f64();
        before = now;
        let (elapsed, whole) = (started.elapsed().as_secs_f64(), duration.as_secs_f64());
        let line = format!("{name}: {elapsed:.0} of {whole:.0} s, {rate:.0}/s");
        let written =
            if terminal { write!(std::io::stderr(), "\r\x1b[K{line}") } else { writeln!(std::io::stderr(), "{line}") };
        if written.is_err() {
            // Nobody watches; the run goes on.
            return;
        }
    }
}

/// Says one thing, on standard error; that nobody may be there to read it is no reason to end.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
