//! When something undecided is looked at again.

use std::time::Duration;

use contracts::Timestamp;

/// The waits between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// How long the call that wrote an intent has for carrying it out before anyone else looks at it.
    pub grace: Duration,
    /// The wait after the first look that decided nothing; each later one is twice as long.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Default for RetrySchedule {
    /// 5 s; then 1 s, 2 s, 4 s … 60 s.
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), first: Duration::from_secs(1), most: Duration::from_mins(1) }
    }
}

impl RetrySchedule {
    /// The wait after a look that decided nothing, as `earlier` looks before it.
    pub fn wait(&self, earlier: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(earlier).unwrap_or(u32::MAX)).min(self.most)
    }
}

/// The next look at something undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Looks so far that decided nothing.
    pub looks: u32,
    /// When the next is due.
    pub due_at: Timestamp,
}

impl Retry {
    /// For an intent that was just written.
    pub fn after_grace(now: Timestamp, schedule: &RetrySchedule) -> Self {
        Self { looks: 0, due_at: now.plus(schedule.grace) }
    }

    /// After one more look that decided nothing.
    pub fn next(self, now: Timestamp, schedule: &RetrySchedule) -> Self {
        Self { looks: self.looks.saturating_add(1), due_at: now.plus(schedule.wait(self.looks)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let schedule = RetrySchedule::default();
        for (looks, seconds) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (31, 60), (32, 60), (u32::MAX, 60)] {
            assert_eq!(schedule.wait(looks), Duration::from_secs(seconds), "{looks}");
        }
    }

    #[test]
    fn an_intent_has_its_grace_then_looks_grow_rarer() {
        let (schedule, now) = (RetrySchedule::default(), Timestamp::from_unix_ms(0));
        let mut retry = Retry::after_grace(now, &schedule);
        assert_eq!(retry.due_at, now.plus(Duration::from_secs(5)));
        for (looks, seconds) in [(1, 1), (2, 2), (3, 4)] {
            retry = retry.next(now, &schedule);
            assert_eq!((retry.looks, retry.due_at), (looks, now.plus(Duration::from_secs(seconds))));
        }
    }
}
