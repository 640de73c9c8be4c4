//! The time, as a port.

use std::time::{Instant, SystemTime};

/// Tells the time. It never goes back.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> u64;
}

/// The machine's time when it was made, going on evenly from there: setting the machine's clock doesn't touch it.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began_ms: u64,
    began: Instant,
}

impl SystemClock {
    /// Begins now.
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the port's adapter")]
        let now = SystemTime::now();
        let began_ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Self { began_ms, began: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        self.began_ms + self.began.elapsed().as_millis() as u64
    }
}
