//! A mutex whose guard is had without a `Result`.

use std::sync::{MutexGuard, PoisonError};

/// A lock that is held for a few instructions, never across an await or a call into the application.
///
/// A panic while it is held leaves the value as it was at that moment: every critical section of this crate keeps its
/// value whole at each step, so that poisoning would only spread the harm.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
