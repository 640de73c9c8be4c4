//! How often somebody may guess a password.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use contracts::Timestamp;

use crate::domain::EmailAddress;

/// Failures for one address within [`WINDOW`] after which no more tries are heard.
pub const MAX_FAILURES: usize = 10;
/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_mins(15);
/// Most addresses remembered: the memory of a guesser's guesses is bounded.
pub const MAX_ADDRESSES: usize = 10_000;

/// No more tries are heard for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many failed log-ins")]
pub struct TooManyAttempts {
    /// When the next one will be.
    pub retry_after: Duration,
}

/// The failures of the last [`WINDOW`], by address, whether it has an account or not.
///
/// A try is checked before the password is hashed and settled after: the outcome of no more than [`MAX_FAILURES`] wrong
/// tries is told, however many are made at the same time.
#[derive(Debug, Default)]
pub struct LoginThrottle {
    failures: HashMap<EmailAddress, VecDeque<Timestamp>>,
}

impl LoginThrottle {
    /// Whether a try would be heard.
    ///
    /// # Errors
    /// [`TooManyAttempts`].
    pub fn check(&mut self, email: &EmailAddress, now: Timestamp) -> Result<(), TooManyAttempts> {
        let Some(failures) = self.failures.get_mut(email) else { return Ok(()) };
        while failures.front().is_some_and(|first| now.since(*first) >= WINDOW) {
            failures.pop_front();
        }
        match failures.front() {
            None => {
                self.failures.remove(email);
                Ok(())
            }
            Some(first) if failures.len() >= MAX_FAILURES => {
                Err(TooManyAttempts { retry_after: WINDOW.saturating_sub(now.since(*first)) })
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes the outcome of a try; a success wipes the slate.
    ///
    /// # Errors
    /// [`TooManyAttempts`] when others have failed too often meanwhile: the outcome must not be told.
    pub fn settle(&mut self, email: &EmailAddress, was_right: bool, now: Timestamp) -> Result<(), TooManyAttempts> {
        self.check(email, now)?;
        if was_right {
            self.failures.remove(email);
        } else {
            if !self.failures.contains_key(email) {
                self.make_room(now);
            }
            self.failures.entry(email.clone()).or_default().push_back(now);
        }
        Ok(())
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.failures.len() < MAX_ADDRESSES {
            return;
        }
        self.failures.retain(|_, failures| failures.back().is_some_and(|last| now.since(*last) < WINDOW));
        if self.failures.len() < MAX_ADDRESSES {
            return;
        }
        // The one with the fewest failures, then the oldest: to free an address from being throttled a guesser would
        // have to fail as often for every other one.
        let least = self.failures.iter().min_by_key(|(_, failures)| (failures.len(), failures.back().copied()));
        if let Some(email) = least.map(|(email, _)| email.clone()) {
            self.failures.remove(&email);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn email(name: impl std::fmt::Display) -> EmailAddress {
        format!("{name}@example.org").parse().unwrap()
    }

    fn fail(throttle: &mut LoginThrottle, email: &EmailAddress, times: usize, now: Timestamp) {
        for _ in 0..times {
            throttle.settle(email, false, now).unwrap();
        }
    }

    #[test]
    fn after_ten_failures_nothing_is_heard_until_the_first_is_a_window_old() {
        let (mut throttle, ada) = (LoginThrottle::default(), email("ada"));
        fail(&mut throttle, &ada, 1, START);
        let later = START.plus(Duration::from_mins(1));
        fail(&mut throttle, &ada, 9, later);
        let refused = TooManyAttempts { retry_after: Duration::from_mins(14) };
        assert_eq!(throttle.check(&ada, later), Err(refused));
        assert_eq!(throttle.settle(&ada, true, later), Err(refused), "not even that the password was right");
        assert_eq!(throttle.check(&email("linus"), later), Ok(()), "others are not concerned");
        let slid = START.plus(WINDOW);
        assert_eq!(throttle.check(&ada, slid), Ok(()));
        fail(&mut throttle, &ada, 1, slid);
        assert_eq!(throttle.check(&ada, slid), Err(TooManyAttempts { retry_after: Duration::from_mins(1) }));
    }

    #[test]
    fn a_success_wipes_the_slate() {
        let (mut throttle, ada) = (LoginThrottle::default(), email("ada"));
        fail(&mut throttle, &ada, 9, START);
        throttle.settle(&ada, true, START).unwrap();
        fail(&mut throttle, &ada, 9, START);
        assert_eq!(throttle.check(&ada, START), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_neither_fills_the_memory_nor_frees_a_throttled_one() {
        let (mut throttle, ada) = (LoginThrottle::default(), email("ada"));
        fail(&mut throttle, &ada, MAX_FAILURES, START);
        for n in 0..MAX_ADDRESSES + 100 {
            fail(&mut throttle, &email(n), 1, START.plus(Duration::from_secs(1)));
        }
        assert_eq!(throttle.failures.len(), MAX_ADDRESSES);
        assert!(throttle.check(&ada, START).is_err());
        fail(&mut throttle, &email("late"), 1, START.plus(WINDOW + WINDOW));
        assert_eq!(throttle.failures.len(), 1, "what no longer counts is forgotten");
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_ten_failures(steps in prop::collection::vec(0..300_u64, 1..200)) {
            let (mut throttle, ada) = (LoginThrottle::default(), email("ada"));
            let (mut now, mut heard) = (START, Vec::new());
            for seconds in steps {
                now = now.plus(Duration::from_secs(seconds));
                if throttle.settle(&ada, false, now).is_ok() {
                    heard.push(now);
                }
                let in_window = heard.iter().filter(|at| now.since(**at) < WINDOW).count();
                prop_assert!(in_window <= MAX_FAILURES);
                prop_assert_eq!(throttle.check(&ada, now).is_err(), in_window == MAX_FAILURES);
            }
        }
    }
}
