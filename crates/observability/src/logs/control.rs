//! The handle by which operators change what is logged.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::{EnvFilter, Registry, reload};

use super::filter::{self, InvalidFilter};
use super::queue::Queue;

/// Changes what a running process logs; cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    pub(super) handle: reload::Handle<EnvFilter, Registry>,
    pub(super) filter: Arc<Mutex<String>>,
    pub(super) queues: Vec<Arc<Queue>>,
}

impl LogControl {
    /// The filter that holds.
    pub fn get(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the filter; the next line is held against the new one.
    ///
    /// # Errors
    /// [`InvalidFilter`]; the old filter stays.
    pub fn set(&self, filter: &str) -> Result<(), InvalidFilter> {
        let parsed = filter::parse(filter)?;
        // Fails only when the log output is gone: then nothing is filtered.
        let _ = self.handle.reload(parsed);
        filter.clone_into(&mut self.filter.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Waits until the lines written so far have reached their transports, at most `patience` long; for processes that end
    /// without dropping their [`super::LogGuard`]. Returns whether all have.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let late = self.queues.iter().filter(|queue| !queue.flush(deadline.saturating_duration_since(Instant::now())));
        late.count() == 0
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("filter", &self.get()).finish_non_exhaustive()
    }
}
