//! The events of a namespace that may have been missed.

use std::{collections::VecDeque, mem::size_of, sync::Arc};

use crate::{
    Offset,
    adapter::Broadcast,
    recovery::{NotRecovered, RecoveryOptions},
};

/// A broadcast and where it stands.
pub(super) struct Kept {
    pub(super) offset: Offset,
    pub(super) broadcast: Broadcast,
}

/// The latest broadcasts of a namespace, bounded in number, bytes and age.
pub(super) struct History {
    kept: VecDeque<Arc<Kept>>,
    size_bytes: usize,
    /// The last offset given.
    last: Offset,
    /// Everything after this one is kept.
    complete_after: Offset,
    max_events: usize,
    max_bytes: usize,
    max_age_ms: u64,
}

impl History {
    /// Empty; `began` is before all that it will hold.
    pub(super) fn new(began: Offset, options: &RecoveryOptions) -> Self {
        Self {
            kept: VecDeque::new(),
            size_bytes: 0,
            last: began,
            complete_after: began,
            max_events: options.max_events,
            max_bytes: options.max_bytes,
            max_age_ms: options.lifetime().as_millis() as u64,
        }
    }

    /// The offset of a broadcast made now.
    pub(super) fn next(&self, now_ms: u64) -> Offset {
        if now_ms > self.last.time_ms {
            Offset { time_ms: now_ms, sequence: 0 }
        } else {
            Offset { sequence: self.last.sequence + 1, ..self.last }
        }
    }

    /// Keeps the broadcast, as far as the bounds allow. `offset` is what [`Self::next`] gave.
    pub(super) fn keep(&mut self, offset: Offset, broadcast: Broadcast) {
        let kept = Kept { offset, broadcast };
        self.size_bytes += kept.size_bytes();
        self.last = offset;
        self.kept.push_back(Arc::new(kept));
        while let Some(oldest) = self.kept.front()
            && (self.kept.len() > self.max_events
                || self.size_bytes > self.max_bytes
                || oldest.offset.time_ms + self.max_age_ms < offset.time_ms)
        {
            self.complete_after = oldest.offset;
            self.size_bytes -= oldest.size_bytes();
            self.kept.pop_front();
        }
    }

    /// Everything after this offset is at hand.
    #[cfg(feature = "redis")]
    pub(super) fn complete_after(&self) -> Offset {
        self.complete_after
    }

    /// The last offset given.
    #[cfg(feature = "redis")]
    pub(super) fn position(&self) -> Offset {
        self.last
    }

    /// Whether everything after the offset is at hand.
    pub(super) fn check(&self, offset: Offset) -> Result<(), NotRecovered> {
        if offset < self.complete_after {
            Err(NotRecovered::Trimmed)
        } else if offset > self.last {
            Err(NotRecovered::InvalidOffset)
        } else {
            Ok(())
        }
    }

    /// Everything after the offset.
    pub(super) fn after(&self, offset: Offset) -> Result<Vec<Arc<Kept>>, NotRecovered> {
        self.check(offset)?;
        let first = self.kept.partition_point(|kept| kept.offset <= offset);
        Ok(self.kept.range(first..).cloned().collect())
    }
}

impl Kept {
    /// About what it takes in memory.
    fn size_bytes(&self) -> usize {
        let Broadcast { payload, target, .. } = &self.broadcast;
        let rooms: usize = target.rooms.iter().chain(&target.except).map(|room| room.len()).sum();
        let attachments: usize = payload.attachments().iter().map(bytes::Bytes::len).sum();
        size_of::<Self>() + payload.json().len() + attachments + rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Payload, adapter::Target};

    const BEGAN: Offset = Offset { time_ms: 1000, sequence: 0 };

    fn options() -> RecoveryOptions {
        RecoveryOptions { max_events: 3, ..RecoveryOptions::default() }
    }

    fn push(history: &mut History, now_ms: u64, text: &str) -> Offset {
        let payload = Payload::from_parts(format!("[\"{text}\"]").into(), Vec::new()).unwrap();
        let offset = history.next(now_ms);
        history.keep(offset, Broadcast { payload, target: Target::default(), volatile: false });
        offset
    }

    #[test]
    fn offsets_grow_also_within_a_millisecond_and_when_the_clock_stands() {
        let mut history = History::new(BEGAN, &options());
        let offsets = [1000, 1000, 1005, 1005, 1004].map(|now_ms| push(&mut history, now_ms, "x").to_string());
        assert_eq!(offsets, ["1000-1", "1000-2", "1005-0", "1005-1", "1005-2"]);
    }

    #[test]
    fn what_was_dropped_is_known_to_be_missing_and_no_more() {
        let mut history = History::new(BEGAN, &options());
        let offsets: Vec<_> = (0..5).map(|n| push(&mut history, 2000 + n, "x")).collect();
        assert_eq!(history.after(BEGAN).err(), Some(NotRecovered::Trimmed));
        assert_eq!(history.after(offsets[0]).err(), Some(NotRecovered::Trimmed));
        assert_eq!(history.after(offsets[1]).unwrap().len(), 3);
        assert_eq!(history.after(offsets[4]).unwrap().len(), 0);
        let later = Offset { time_ms: 9000, sequence: 0 };
        assert_eq!(history.after(later).err(), Some(NotRecovered::InvalidOffset));
    }

    #[test]
    fn what_nobody_can_ask_for_any_more_is_dropped() {
        let options = RecoveryOptions { max_events: 100, ..RecoveryOptions::default() };
        let lifetime_ms = options.lifetime().as_millis() as u64;
        let mut history = History::new(BEGAN, &options);
        let first = push(&mut history, 2000, "x");
        push(&mut history, 2000 + lifetime_ms, "x");
        assert!(history.after(BEGAN).is_ok());
        push(&mut history, 2001 + lifetime_ms, "x");
        assert_eq!(history.after(BEGAN).err(), Some(NotRecovered::Trimmed));
        assert_eq!(history.after(first).unwrap().len(), 2);
    }

    #[test]
    fn the_bytes_kept_are_bounded_and_given_back() {
        let options = RecoveryOptions { max_events: 100, max_bytes: 3000, ..RecoveryOptions::default() };
        let mut history = History::new(BEGAN, &options);
        for _ in 0..5 {
            push(&mut history, 2000, &"x".repeat(1000));
        }
        assert_eq!(history.kept.len(), 2);
        push(&mut history, 2000, &"x".repeat(5000));
        assert_eq!((history.kept.len(), history.size_bytes), (0, 0));
        assert!(history.check(history.last).is_ok());
    }
}
