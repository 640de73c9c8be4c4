//! Whose turn it is at an ordered queue ([`crate::bus::Audience::Ordered`]) where all consumers are in one process: the
//! first that came has it until it goes, then the next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The consumers of one queue, in the order in which they came.
#[derive(Default)]
pub(crate) struct Turns {
    line: Mutex<Line>,
    moved: Notify,
}

#[derive(Default)]
struct Line {
    last: u64,
    waiting: VecDeque<u64>,
}

impl Turns {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes to the end of the line.
    pub(crate) fn join(self: &Arc<Self>) -> Turn {
        let mut line = self.line();
        line.last += 1;
        let place = line.last;
        line.waiting.push_back(place);
        drop(line);
        Turn { turns: Arc::clone(self), place }
    }
}

/// A place in the line, given up when dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    place: u64,
}

impl Turn {
    /// Waits until nobody is before it.
    pub(crate) async fn has_come(&self) {
        loop {
            let mut moved = std::pin::pin!(self.turns.moved.notified());
            // Registered before looking: who goes in between is not slept through.
            moved.as_mut().enable();
            if self.turns.line().waiting.front() == Some(&self.place) {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.line().waiting.retain(|place| *place != self.place);
        self.turns.moved.notify_waiters();
    }
}
