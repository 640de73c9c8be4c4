//! A gateway that stops moves its clients to others: not all at once, or they would come back all at once, too.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socketio::SocketIo;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How clients are moved.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Clients that come back in a second, at most.
    pub per_second: NonZeroU32,
    /// The wait before the first: balancers learn meanwhile that this gateway is not ready any more.
    pub delay: Duration,
    /// All of it, the delay included; who is left then is disconnected at once.
    pub longest: Duration,
}

impl Pace {
    /// How many leave in a second. Each comes back after a wait of its own, so that at times more come back than leave: for
    /// these to stay below what was asked for, fewer leave.
    fn departures(self) -> NonZeroU32 {
        const SHARE: u32 = 60;
        NonZeroU32::new(self.per_second.get().saturating_mul(SHARE) / 100).unwrap_or(NonZeroU32::MIN)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            per_second: NonZeroU32::new(200).expect("200 is not zero"),
            delay: Duration::ZERO,
            longest: Duration::from_secs(20),
        }
    }
}

/// Tells streams one after the other that it is their turn to end. Cheap to wait for: thousands do.
pub struct Departures {
    turns: Semaphore,
    staying: AtomicUsize,
}

impl Default for Departures {
    fn default() -> Self {
        Self { turns: Semaphore::new(0), staying: AtomicUsize::new(0) }
    }
}

/// A stream that is open.
pub struct Staying(Arc<Departures>);

impl Staying {
    /// One more.
    pub fn at(departures: &Arc<Departures>) -> Self {
        departures.staying.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(departures))
    }

    /// Waits until this stream is to end. Giving the wait up leaves the turn to another.
    pub async fn turn(&self) {
        if let Ok(turn) = self.0.turns.acquire().await {
            turn.forget();
        }
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        self.0.staying.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Departures {
    /// Ends streams at a pace, until none is left.
    async fn run(&self, per_second: NonZeroU32) {
        const BEAT: Duration = Duration::from_millis(100);
        let mut owed = 0.0;
        while self.staying.load(Ordering::Relaxed) > 0 {
            owed += f64::from(per_second.get()) * BEAT.as_secs_f64();
            let now = owed as usize;
            owed -= now as f64;
            self.turns.add_permits(now);
            tokio::time::sleep(BEAT).await;
        }
    }
}

/// What is to be done with the clients of a gateway that stops.
pub struct Drain {
    pub(crate) io: SocketIo,
    pub(crate) departures: Arc<Departures>,
    pub(crate) pace: Pace,
    /// Cancelled at its end: nobody is here any more who wants to be told anything.
    pub(crate) ended: CancellationToken,
}

impl Drain {
    /// The most time it takes.
    pub fn longest(&self) -> Duration {
        self.pace.longest
    }

    /// Moves all clients elsewhere at the pace that was set: first those of Socket.IO, then the streams. Then it closes the
    /// server.
    pub async fn run(self) {
        let Self { io, departures, pace, ended } = self;
        let moving = async {
            tokio::time::sleep(pace.delay).await;
            tracing::info!(
                sockets = io.stats().sockets,
                per_second = pace.per_second.get(),
                "moving clients elsewhere"
            );
            let per_second = pace.departures();
            io.drain(per_second).await;
            departures.run(per_second).await;
        };
        // Closing takes a moment, too.
        let closing = Duration::from_secs(2).min(pace.longest / 2);
        if tokio::time::timeout(pace.longest.saturating_sub(closing), moving).await.is_err() {
            tracing::warn!(sockets = io.stats().sockets, "the time to move clients is over: the rest is disconnected");
        }
        departures.turns.close();
        ended.cancel();
        io.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn streams_end_no_faster_than_the_pace() {
        let departures = Arc::new(Departures::default());
        for _ in 0..100 {
            let staying = Staying::at(&departures);
            tokio::spawn(async move { staying.turn().await });
        }
        let begun = tokio::time::Instant::now();
        departures.run(NonZeroU32::new(50).unwrap()).await;
        assert!((1.9..2.3).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    }
}
