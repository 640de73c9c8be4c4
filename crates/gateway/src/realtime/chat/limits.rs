//! How much one user may send, on all their connections to this gateway together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::ids::UserId;
use contracts::{Reason, Refusal, Timestamp};

/// See the module.
pub struct Limits {
    /// Messages: 10 in 10 s.
    pub messages: Rate,
    /// `typing:start`: 5 in a second.
    pub typing: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages: Rate::new(10, Duration::from_secs(10)), typing: Rate::new(5, Duration::from_secs(1)) }
    }
}

/// Users remembered before those are looked for who may send as much as ever.
const SWEEP_FROM: usize = 1024;

/// So many within a time, at once or one by one. The bucket of tokens is kept as the moment at which it will be full
/// (the generic cell rate algorithm, ITU-T I.371).
pub struct Rate {
    window: Duration,
    interval: Duration,
    full_at: Mutex<HashMap<UserId, Timestamp>>,
}

impl Rate {
    /// `burst` within `window`.
    pub fn new(burst: u32, window: Duration) -> Self {
        Self { window, interval: window / burst.max(1), full_at: Mutex::default() }
    }

    /// Counts one more of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time after which there is room for one; it was not counted.
    pub fn take(&self, user: UserId, now: Timestamp) -> Result<(), Refusal> {
        let mut users = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= SWEEP_FROM && users.len().is_power_of_two() {
            users.retain(|_, full_at| *full_at > now);
        }
        let full_at = users.entry(user).or_insert(now);
        // Never farther than the window: a clock that was set back locks nobody out.
        *full_at = (*full_at).clamp(now, now.plus(self.window));
        let next = full_at.plus(self.interval);
        let wait = next.since(now).saturating_sub(self.window);
        if !wait.is_zero() {
            return Err(Refusal::new(Reason::RateLimited, Reason::RateLimited.title()).retry_after(wait));
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_by_one() {
        let rate = Rate::new(10, Duration::from_secs(10));
        let now = Timestamp::from_unix_ms(1_000_000);
        assert!((0..10).all(|_| rate.take(user(1), now).is_ok()));
        let refusal = rate.take(user(1), now.plus(Duration::from_millis(400))).unwrap_err();
        assert_eq!((refusal.reason, refusal.retry_after), (Reason::RateLimited, Some(Duration::from_millis(600))));
        assert!(rate.take(user(2), now).is_ok(), "others are counted for themselves");
        let later = now.plus(Duration::from_secs(1));
        assert!(rate.take(user(1), later).is_ok());
        assert!(rate.take(user(1), later).is_err());
        let much_later = now.plus(Duration::from_mins(1));
        assert_eq!((0..20).filter(|_| rate.take(user(1), much_later).is_ok()).count(), 10, "no more is saved up");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rate = Rate::new(2, Duration::from_secs(1));
        let now = Timestamp::from_unix_ms(1_000_000_000);
        assert!(rate.take(user(1), now).is_ok());
        let before = now.minus(Duration::from_hours(1));
        assert!(rate.take(user(1), before).is_err());
        assert!(rate.take(user(1), before.plus(Duration::from_secs(1))).is_ok());
    }

    #[test]
    fn users_who_send_nothing_are_forgotten() {
        let rate = Rate::new(1, Duration::from_secs(1));
        let now = Timestamp::from_unix_ms(1_000_000_000);
        for n in 0..5000 {
            let at = now.plus(Duration::from_secs(u64::try_from(n).unwrap()));
            assert!(rate.take(user(n), at).is_ok());
        }
        assert!(rate.full_at.lock().unwrap().len() <= SWEEP_FROM);
    }
}
