//! One stream, from this node's side: what waits to be added to it, and how far it was read.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::{Space, wire::entry::Order};
use crate::Offset;

/// A message for the stream.
pub(super) struct Queued {
    pub(super) space: Arc<Space>,
    pub(super) order: Order,
    size_bytes: usize,
}

/// The stream, its outbox and its position.
pub(super) struct Lane {
    pub(super) stream: String,
    outbox: Mutex<Outbox>,
    filled: Notify,
    progressed: Notify,
    position: Mutex<Offset>,
    /// Some of what came before this offset was not read, or belongs to a stream that is lost.
    whole_from: Mutex<Offset>,
    /// Where reading began; none before Redis was reached first.
    base: watch::Sender<Option<Offset>>,
    /// Number of the last of this node's own messages that was read from the stream, counted from one.
    last_own: AtomicU64,
}

struct Outbox {
    queue: VecDeque<Arc<Queued>>,
    /// Number of the first in the queue, counted from one.
    first: u64,
    size_bytes: usize,
    /// Something was dropped that came after the message of this number, or would have had it; 0 if nothing was.
    lost: u64,
}

/// Messages to be sent next; they stay in the outbox until they are known to have been added.
pub(super) struct Batch {
    /// Number of the first of them.
    pub(super) first: u64,
    pub(super) messages: Vec<Arc<Queued>>,
}

impl Batch {
    /// Number of the last of them.
    pub(super) fn last(&self) -> u64 {
        self.first + self.messages.len() as u64 - 1
    }
}

impl Lane {
    pub(super) fn new(stream: String) -> Self {
        Self {
            stream,
            outbox: Mutex::new(Outbox { queue: VecDeque::new(), first: 1, size_bytes: 0, lost: 0 }),
            filled: Notify::new(),
            progressed: Notify::new(),
            position: Mutex::new(Offset::ZERO),
            whole_from: Mutex::new(Offset::ZERO),
            base: watch::Sender::new(None),
            last_own: AtomicU64::new(0),
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the message; false if there is no place.
    pub(super) fn push(&self, space: Arc<Space>, order: Order, max: usize, max_bytes: usize) -> bool {
        let size_bytes = order.size_bytes();
        let mut outbox = self.outbox();
        if outbox.queue.len() >= max || outbox.size_bytes.saturating_add(size_bytes) > max_bytes {
            outbox.lost = outbox.first + (outbox.queue.len() as u64).saturating_sub(1);
            return false;
        }
        outbox.size_bytes += size_bytes;
        outbox.queue.push_back(Arc::new(Queued { space, order, size_bytes }));
        drop(outbox);
        self.filled.notify_one();
        true
    }

    /// The next messages, so many and so many bytes at most but at least one; waits for it.
    pub(super) async fn next(&self, max: usize, max_bytes: usize) -> Batch {
        loop {
            {
                let outbox = self.outbox();
                let mut bytes = 0;
                let fits = |queued: &&Arc<Queued>| {
                    let fits = bytes == 0 || bytes + queued.size_bytes <= max_bytes;
                    bytes += queued.size_bytes;
                    fits
                };
                let messages: Vec<_> = outbox.queue.iter().take(max).take_while(fits).cloned().collect();
                if !messages.is_empty() {
                    return Batch { first: outbox.first, messages };
                }
            }
            self.filled.notified().await;
        }
    }

    /// All messages up to this number were added; gives how many had not been known to be.
    pub(super) fn added(&self, last: u64) -> usize {
        let mut outbox = self.outbox();
        let mut count = 0;
        while outbox.first <= last
            && let Some(queued) = outbox.queue.pop_front()
        {
            outbox.first += 1;
            outbox.size_bytes -= queued.size_bytes;
            count += 1;
        }
        self.progressed.notify_waiters();
        count
    }

    /// The message of this number can't be added and won't be.
    pub(super) fn lose(&self, number: u64) {
        self.outbox().lost = number;
    }

    pub(super) fn queued(&self) -> usize {
        self.outbox().queue.len()
    }

    /// Waits until everything was added.
    pub(super) async fn drained(&self) {
        loop {
            let progressed = self.progressed.notified();
            if self.queued() == 0 {
                return;
            }
            progressed.await;
        }
    }

    /// Waits until everything that was queued before the call was added; false if some of it was dropped. What was dropped
    /// for want of a place is known here as long as something waits that came before it.
    pub(super) fn stored(self: &Arc<Self>) -> impl Future<Output = bool> + Send + use<> {
        let lane = Arc::clone(self);
        let (first, next) = {
            let outbox = lane.outbox();
            (outbox.first, outbox.first + outbox.queue.len() as u64)
        };
        async move {
            loop {
                let progressed = lane.progressed.notified();
                {
                    let outbox = lane.outbox();
                    if outbox.lost >= first {
                        return false;
                    }
                    if outbox.first >= next {
                        return true;
                    }
                }
                progressed.await;
            }
        }
    }

    /// Reading begins after this offset.
    pub(super) fn begin(&self, base: Offset) {
        self.move_to(base);
        self.base.send_replace(Some(base));
    }

    /// Where reading began; waits until it did.
    pub(super) async fn base(&self) -> Offset {
        let mut base = self.base.subscribe();
        loop {
            if let Some(base) = *base.borrow_and_update() {
                return base;
            }
            // The sender is this lane itself: it can't be gone.
            let _ = base.changed().await;
        }
    }

    /// Where reading began, if it did.
    pub(super) fn known_base(&self) -> Option<Offset> {
        *self.base.borrow()
    }

    /// Everything up to here was delivered.
    pub(super) fn position(&self) -> Offset {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn move_to(&self, offset: Offset) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    /// All that comes after this offset is delivered: the position, or where a gap ended.
    pub(super) fn whole_after(&self) -> Offset {
        self.position().max(*self.whole_from.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something up to here was not read.
    pub(super) fn has_gap_until(&self, offset: Offset) {
        *self.whole_from.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    /// One of this node's own messages was read.
    pub(super) fn saw_own(&self, number: u64) {
        self.last_own.fetch_max(number, Ordering::Relaxed);
    }

    pub(super) fn last_own(&self) -> u64 {
        self.last_own.load(Ordering::Relaxed)
    }
}
