//! Puts a server under load.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::http::{Answer, Connection, HttpError};
use crate::pacing::{Pacer, Schedule};
use crate::tally::{Summary, Tally};

/// How long after its end an open loop goes on sending what was due.
const DRAIN: Duration = Duration::from_secs(10);
/// Wait after a connection could not be made, so that a server that is away is not hammered.
const RECONNECT_WAIT: Duration = Duration::from_millis(50);

/// What is sent, and what is expected back.
pub trait Work: Send + Sync + 'static {
    /// Writes the request of this number (from 0, each once) into an empty buffer.
    fn request(&self, number: u64, into: &mut Vec<u8>);

    /// Whether an answer is what it should be; its latency counts from `from`.
    ///
    /// # Errors
    /// What is wrong with it, told to whoever runs the load.
    fn check(&self, answer: &Answer, from: Instant) -> Result<(), String>;

    /// Whether [`Work::check`] wants to see the body.
    fn keeps_body(&self) -> bool {
        false
    }
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as the connection has its answer: measures how much the server can do.
    Closed,
    /// So many a second, answered or not: measures how long clients wait that do not wait for each other.
    Open {
        /// Requests per second, more than 0.
        rate: f64,
    },
}

/// How much load, for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Connections, each with one request at a time; at least one.
    pub connections: usize,
    /// When the last request is sent.
    pub duration: Duration,
    /// When the next is.
    pub pace: Pace,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Counts and latencies.
    pub tally: Tally,
    /// From the first request to the last answer; that of an open loop is at least its duration.
    pub elapsed: Duration,
    /// Requests of an open loop that were due and never sent: no connection was free, or the run was ended.
    pub unsent: u64,
}

impl Outcome {
    /// Answers per second.
    pub fn throughput(&self) -> f64 {
        self.tally.answered() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// For the report; `cpu` is what the server used meanwhile.
    pub fn summary(&self, cpu: Option<Duration>) -> Summary {
        let answered = self.tally.answered();
        Summary {
            elapsed_s: self.elapsed.as_secs_f64(),
            answered,
            throughput: self.throughput(),
            answers: self.tally.answers.clone(),
            failures: self.tally.failures.clone(),
            unexpected: self.tally.unexpected,
            unsent: self.unsent,
            reopened: self.tally.reopened,
            body_bytes_mean: self.tally.body_bytes as f64 / answered.max(1) as f64,
            latency: self.tally.latency.percentiles(),
            cpu_s_per_1000: cpu.filter(|_| answered > 0).map(|cpu| cpu.as_secs_f64() * 1000.0 / answered as f64),
        }
    }
}

/// Runs the load until its duration is over or `stop` is cancelled; `answered` counts along for whoever watches.
///
/// # Errors
/// When the machine refuses the pacing thread.
pub async fn run<W: Work>(
    load: &Load,
    work: Arc<W>,
    answered: Arc<AtomicU64>,
    stop: &CancellationToken,
) -> Result<Outcome, Error> {
    let start = Instant::now();
    let schedule = match load.pace {
        Pace::Closed => None,
        Pace::Open { rate } => Some(Schedule::new(rate, load.duration)),
    };
    let pacer = schedule.map(|schedule| Pacer::start(schedule, start)).transpose();
    let pacer = pacer.map_err(Error::io("no thread for the pacing"))?;
    let shared = Arc::new(Shared { work, answered, start, next: AtomicU64::new(0), sent: AtomicU64::new(0) });
    let mut workers = JoinSet::new();
    for _ in 0..load.connections.max(1) {
        let turn = match (schedule, &pacer) {
            (Some(schedule), Some(pacer)) => Turn::Open(schedule, pacer.permits(), start + load.duration + DRAIN),
            _ => Turn::Closed(start + load.duration),
        };
        workers.spawn(worker(Arc::clone(&shared), load.address, turn, load.timeout, stop.clone()));
    }
    let mut outcome = Outcome::default();
    while let Some(tally) = workers.join_next().await {
        match tally {
            Ok(tally) => outcome.tally.merge(tally),
            Err(error) => return Err(Error::Failed(format!("a connection's task ended with {error}"))),
        }
    }
    outcome.elapsed = start.elapsed();
    if schedule.is_some() && !stop.is_cancelled() {
        // The last request has its share of the time too: ten a second are ten in a second, not in nine tenths.
        outcome.elapsed = outcome.elapsed.max(load.duration);
    }
    let due = schedule.map_or(0, |schedule| schedule.due(outcome.elapsed));
    outcome.unsent = due.saturating_sub(shared.sent.load(Ordering::Relaxed));
    Ok(outcome)
}

struct Shared<W> {
    work: Arc<W>,
    answered: Arc<AtomicU64>,
    start: Instant,
    next: AtomicU64,
    sent: AtomicU64,
}

/// When a connection's turn is.
enum Turn {
    /// At once, until then.
    Closed(Instant),
    /// When there is a permit, until then at the latest.
    Open(Schedule, Arc<Semaphore>, Instant),
}

impl Turn {
    /// Waits for it; the time from which the latency counts. `None` when there are no more.
    async fn wait(&self, number: u64, start: Instant) -> Option<Instant> {
        match self {
            Self::Closed(end) => {
                let now = Instant::now();
                (now < *end).then_some(now)
            }
            Self::Open(schedule, permits, latest) => {
                if number >= schedule.total() {
                    return None;
                }
                // Tickets and permits are handed out in the same order: whoever holds the earlier number asks earlier.
                permits.acquire().await.ok()?.forget();
                (Instant::now() < *latest).then(|| start + schedule.intended(number))
            }
        }
    }
}

async fn worker<W: Work>(
    shared: Arc<Shared<W>>,
    address: SocketAddr,
    turn: Turn,
    timeout: Duration,
    stop: CancellationToken,
) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::to(address);
    let mut request = Vec::new();
    // Made once: a timer and a waiter for each request would cost more than the request.
    let mut stopped = pin!(stop.cancelled());
    let mut patience = pin!(tokio::time::sleep(timeout));
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let from = tokio::select! {
            biased;
            () = &mut stopped => break,
            from = turn.wait(number, shared.start) => from,
        };
        let Some(from) = from else { break };
        request.clear();
        shared.work.request(number, &mut request);
        shared.sent.fetch_add(1, Ordering::Relaxed);
        patience.as_mut().reset(tokio::time::Instant::now() + timeout);
        let result = tokio::select! {
            biased;
            result = connection.send(&request, shared.work.keeps_body()) => Some(result),
            () = &mut stopped => break,
            () = &mut patience => None,
        };
        match result {
            Some(Ok(answer)) => {
                tally.answer(answer.status, answer.body_bytes, from.elapsed());
                shared.answered.fetch_add(1, Ordering::Relaxed);
                if let Err(wrong) = shared.work.check(&answer, from) {
                    tally.unexpected(|| wrong);
                }
            }
            Some(Err(error)) => {
                tally.failure(error.kind());
                if matches!(error, HttpError::Connect(_)) {
                    tokio::time::sleep(RECONNECT_WAIT).await;
                }
            }
            None => {
                tally.failure("timeout");
                connection.close();
            }
        }
    }
    tally.reopened = connection.reopened();
    tally
}
