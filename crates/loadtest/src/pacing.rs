//! When requests of an open loop are to be sent, whatever becomes of those before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The longest sleep between two looks at whether the pacing is over.
const LOOK: Duration = Duration::from_millis(100);

/// Evenly spaced requests: the first at once, then `rate` a second until `duration` is over.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate: f64,
    total: u64,
}

impl Schedule {
    /// `rate` is requests per second, more than 0.
    pub fn new(rate: f64, duration: Duration) -> Self {
        // A product that is whole but for rounding is whole: 240 a second for 0.1 s are 24, not 25.
        Self { rate, total: (rate * duration.as_secs_f64() - 1e-6).ceil().max(1.0) as u64 }
    }

    /// Requests in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When, from the start, the request of this number (from 0) is to be sent.
    pub fn intended(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many are to have been sent so long after the start.
    pub fn due(&self, elapsed: Duration) -> u64 {
        let passed = (elapsed.as_secs_f64() * self.rate + 1e-6).floor() as u64;
        passed.saturating_add(1).min(self.total)
    }
}

/// Gives out one permit per request when its time has come.
///
/// A thread of its own sleeps between them: the timer of the runtime counts whole milliseconds, which would show up in
/// latencies that are measured from the intended time.
pub struct Pacer {
    permits: Arc<Semaphore>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    /// Starts giving out permits; `start` is the time of the first.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(schedule: Schedule, start: Instant) -> std::io::Result<Self> {
        let permits = Arc::new(Semaphore::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (gives, ends) = (Arc::clone(&permits), Arc::clone(&over));
        let thread = thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            let mut given = 0;
            while given < schedule.total() && !ends.load(Ordering::Relaxed) {
                let elapsed = start.elapsed();
                let due = schedule.due(elapsed);
                gives.add_permits((due - given) as usize);
                given = due;
                thread::sleep(schedule.intended(given).saturating_sub(elapsed).min(LOOK));
            }
        })?;
        Ok(Self { permits, over, thread: Some(thread) })
    }

    /// Permits, in the order in which they are asked for.
    pub fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics only if there are more permits than a semaphore counts; there is nothing to add to its message.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced() {
        let schedule = Schedule::new(240.0, Duration::from_secs(10));
        assert_eq!(schedule.total(), 2400);
        assert_eq!(schedule.intended(0), Duration::ZERO);
        assert_eq!(schedule.intended(240), Duration::from_secs(1));
        assert_eq!(Schedule::new(240.0, Duration::from_millis(100)).total(), 24);
        assert_eq!(Schedule::new(0.5, Duration::from_secs(1)).total(), 1);
    }

    #[test]
    fn a_request_is_due_from_its_intended_time_on() {
        let schedule = Schedule::new(1000.0, Duration::from_secs(1));
        assert_eq!(schedule.due(Duration::ZERO), 1);
        assert_eq!(schedule.due(Duration::from_micros(999)), 1);
        for number in 0..schedule.total() {
            assert_eq!(schedule.due(schedule.intended(number)), number + 1);
        }
        assert_eq!(schedule.due(Duration::from_secs(5)), 1000, "no more than there are");
    }

    #[tokio::test]
    async fn the_pacer_gives_one_permit_per_request_and_no_sooner() {
        let schedule = Schedule::new(1000.0, Duration::from_millis(20));
        let start = Instant::now();
        let pacer = Pacer::start(schedule, start).unwrap();
        let permits = pacer.permits();
        for number in 0..schedule.total() {
            permits.acquire().await.unwrap().forget();
            assert!(start.elapsed() + Duration::from_micros(2) >= schedule.intended(number), "request {number}");
        }
        drop(pacer);
        assert_eq!(permits.available_permits(), 0);
    }
}
