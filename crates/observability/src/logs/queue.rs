//! Lines on their way to a transport: bounded, and never waited for by who writes them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::settings::QueueLimits;

/// How long the writer lets lines gather before it takes them: one wake-up for many lines.
const GATHER: Duration = Duration::from_millis(10);
/// From this much on it takes them at once.
const GATHER_BYTES: usize = 64 * 1024;
/// Buffers that one burst made larger than this are given back.
const SPARE_BYTES: usize = 1024 * 1024;
/// The part of the room kept for warnings and errors: an eighth.
const RESERVE: usize = 8;

/// What a line is to the transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of level `error`.
    Error,
    /// Of level `warn`.
    Warning,
    /// Of the access log.
    Access,
    /// Any other.
    Other,
}

/// A line of a batch: the bytes from the end of the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// Lines, one after the other, each with its line feed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Vec<Line>,
    /// Lines that found no room since the batch before.
    pub(super) lost: u64,
}

impl Batch {
    pub(super) fn push(&mut self, line: &[u8], kind: Kind) {
        self.bytes.extend_from_slice(line);
        self.lines.push(Line { end: self.bytes.len(), kind });
    }

    fn clear(&mut self) {
        if self.bytes.capacity() > SPARE_BYTES {
            *self = Self::default();
        }
        self.bytes.clear();
        self.lines.clear();
        self.lost = 0;
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It will be written.
    Queued,
    /// There was no room.
    Full,
    /// The transport is closed.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// The writer shall not let lines gather.
    hurry: bool,
    /// The writer sleeps until there is something.
    idle: bool,
    closed: bool,
    pushed: u64,
    written: u64,
    /// The writer is gone.
    ended: bool,
}

/// Between those who log and the thread that writes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Tells the writer.
    something: Condvar,
    /// Tells those who flush.
    progress: Condvar,
    limits: QueueLimits,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self { state: Mutex::default(), something: Condvar::new(), progress: Condvar::new(), limits }
    }

    /// Takes a line, or drops it when there is no room; never waits for the writer.
    pub(super) fn push(&self, line: &[u8], kind: Kind) -> Pushed {
        let mut state = self.lock();
        if state.closed {
            return Pushed::Closed;
        }
        let important = matches!(kind, Kind::Error | Kind::Warning);
        let room = |limit: usize| if important { limit } else { limit - limit / RESERVE };
        let (lines, bytes) = (state.waiting.lines.len() + 1, state.waiting.bytes.len() + line.len());
        if lines > room(self.limits.lines) || bytes > room(self.limits.bytes) {
            state.waiting.lost += 1;
            if state.idle {
                self.something.notify_one();
            }
            return Pushed::Full;
        }
        state.waiting.push(line, kind);
        state.pushed += 1;
        // An error may be the last thing a process says.
        let hurry = !state.hurry && (kind == Kind::Error || bytes > GATHER_BYTES);
        state.hurry |= hurry;
        if state.idle || hurry {
            self.something.notify_one();
        }
        Pushed::Queued
    }

    /// What has gathered, for the writer; waits for it. `batch` is the one before, written.
    /// Returns whether more may come.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        let nothing = |state: &mut State| state.waiting.lines.is_empty() && state.waiting.lost == 0 && !state.closed;
        let mut state = self.lock();
        state.written += batch.lines.len() as u64;
        self.progress.notify_all();
        batch.clear();
        state.idle = true;
        state = self.something.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        let gathering = |state: &mut State| !state.hurry && !state.closed;
        state = self.something.wait_timeout_while(state, GATHER, gathering).unwrap_or_else(PoisonError::into_inner).0;
        state.hurry = false;
        std::mem::swap(&mut state.waiting, batch);
        !state.closed || !batch.lines.is_empty() || batch.lost > 0
    }

    /// Waits until what was pushed before is written; whether it was in time.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        let target = state.pushed;
        state.hurry = true;
        self.something.notify_one();
        let behind = |state: &mut State| state.written < target && !state.ended;
        let (state, _) =
            self.progress.wait_timeout_while(state, patience, behind).unwrap_or_else(PoisonError::into_inner);
        state.written >= target
    }

    /// No more lines are taken; those there are will be written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.something.notify_one();
    }

    /// Told by the writer, when it has let go of all it had.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ended = true;
        self.progress.notify_all();
    }

    /// Waits for the writer's end; whether it came in time.
    pub(super) fn wait_ended(&self, patience: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .progress
            .wait_timeout_while(state, patience, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue, line: &str, kind: Kind) -> Pushed {
        queue.push(line.as_bytes(), kind)
    }

    #[test]
    fn lines_come_out_in_order_and_none_after_the_end() {
        let queue = Queue::new(QueueLimits::default());
        assert_eq!(push(&queue, "a\n", Kind::Other), Pushed::Queued);
        assert_eq!(push(&queue, "bc\n", Kind::Error), Pushed::Queued);
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        assert_eq!(batch.bytes, b"a\nbc\n");
        assert_eq!(
            batch.lines.iter().map(|line| (line.end, line.kind)).collect::<Vec<_>>(),
            [(2, Kind::Other), (5, Kind::Error)]
        );
        queue.close();
        assert_eq!(push(&queue, "late\n", Kind::Error), Pushed::Closed);
        assert!(!queue.take(&mut batch), "empty and closed");
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_keeps_an_eighth_for_what_matters() {
        let queue = Queue::new(QueueLimits { lines: 8, bytes: 1024 });
        let flood = (0..10).filter(|_| push(&queue, "x\n", Kind::Other) == Pushed::Queued).count();
        assert_eq!(flood, 7);
        assert_eq!(push(&queue, "e\n", Kind::Error), Pushed::Queued);
        assert_eq!(push(&queue, "e\n", Kind::Error), Pushed::Full, "there is an end to it");
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        assert_eq!((batch.lines.len(), batch.lost), (8, 4));
        assert_eq!(push(&queue, "x\n", Kind::Other), Pushed::Queued);
        assert!(queue.take(&mut batch));
        assert_eq!((batch.lines.len(), batch.lost), (1, 0));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let queue = Queue::new(QueueLimits { lines: 100, bytes: 80 });
        let line = "x".repeat(35);
        assert_eq!(push(&queue, &line, Kind::Other), Pushed::Queued);
        assert_eq!(push(&queue, &line, Kind::Access), Pushed::Queued);
        assert_eq!(push(&queue, "y", Kind::Access), Pushed::Full);
        assert_eq!(push(&queue, "yyyyyyyyyy", Kind::Warning), Pushed::Queued);
    }
}
