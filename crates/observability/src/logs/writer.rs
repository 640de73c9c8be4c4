//! The thread that carries lines to a transport.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::level;
use super::queue::{Batch, Kind, Queue};

/// Where lines end up: a console, files.
pub(super) trait Sink: Send + 'static {
    /// Writes what it can and returns how many lines it could not. Never panics.
    fn write(&mut self, batch: &Batch) -> u64;
}

/// Makes the line that tells how many were dropped.
pub(super) type Notice = Box<dyn Fn(u64) -> Vec<u8> + Send>;

/// A transport's thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(name: &str, queue: Arc<Queue>, mut sink: impl Sink, notice: Notice) -> io::Result<Self> {
        let lines = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name(format!("log-{name}")).spawn(move || {
            let ending = Ending(lines);
            carry(&ending.0, &mut sink, &notice);
            // Files are let go of before anybody is told.
            drop(sink);
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// No more lines are taken.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Waits until what was taken is written, but not past `deadline`: a transport may be stuck.
    pub(super) fn finish(&mut self, deadline: Instant) -> bool {
        let ended = self.queue.wait_ended(deadline.saturating_duration_since(Instant::now()));
        if ended && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        ended
    }
}

/// Tells of the end, however it came.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn carry(queue: &Queue, sink: &mut impl Sink, notice: &Notice) {
    let mut batch = Batch::default();
    let mut untold = 0;
    while queue.take(&mut batch) {
        untold += batch.lost;
        let own = batch.lines.len();
        if untold > 0 {
            batch.push(&notice(untold), Kind::Warning);
        }
        let lost = sink.write(&batch).min(own as u64);
        batch.lines.truncate(own);
        level::DROPPED.inc_by(lost);
        untold = if lost > 0 { untold + lost } else { 0 };
    }
}

/// Tells standard error of a transport that fails: at once, then at most once a minute.
#[derive(Debug, Default)]
pub(super) struct Complaints(Option<Instant>);

impl Complaints {
    const EVERY: Duration = Duration::from_mins(1);

    pub(super) fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        if self.0.is_none_or(|last| last.elapsed() >= Self::EVERY) {
            self.0 = Some(Instant::now());
            // Whoever closed standard error does not want to know.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("log: {what}\n"));
        }
    }
}
