//! The metrics of one client, looked up once for each operation.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use crate::metrics;

static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram(
        "db_client_operation_duration_seconds",
        "Time of one operation on a store, with the wait for a connection.",
        &["service", "system", "operation"],
    )
});

static SLOW: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter(
        "db_slow_operations_total",
        "Operations that took the slow-query threshold or longer.",
        &["service", "system"],
    )
});

static POOL_WAIT: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram(
        "db_pool_wait_seconds",
        "Wait for a connection of a pool, or for the turn to write.",
        &["service", "system"],
    )
});

/// An operation in the name of a service; without one it is the client's.
struct Known {
    operation: &'static str,
    service: Option<&'static str>,
    duration: Histogram,
}

/// Both names are literals of the program: the list is as short as the program has operations on the store.
pub(super) struct Meters {
    system: &'static str,
    owner: Arc<str>,
    known: RwLock<Vec<Known>>,
    pool_wait: LazyLock<Histogram, Box<dyn FnOnce() -> Histogram + Send>>,
}

impl Meters {
    pub(super) fn new(system: &'static str, owner: Arc<str>) -> Self {
        let of_pool = Arc::clone(&owner);
        Self {
            system,
            owner,
            known: RwLock::default(),
            pool_wait: LazyLock::new(Box::new(move || POOL_WAIT.with_label_values(&[&*of_pool, system]))),
        }
    }

    pub(super) fn observe(&self, operation: &'static str, service: Option<&'static str>, took: Duration) {
        let seconds = took.as_secs_f64();
        let is_it = |known: &&Known| known.operation == operation && known.service == service;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(is_it) {
            known.duration.observe(seconds);
            return;
        }
        drop(known);
        let duration = DURATION.with_label_values(&[service.unwrap_or(&self.owner), self.system, operation]);
        duration.observe(seconds);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|known| is_it(&known)) {
            known.push(Known { operation, service, duration });
        }
    }

    pub(super) fn slow(&self, service: Option<&'static str>) -> IntCounter {
        SLOW.with_label_values(&[service.unwrap_or(&self.owner), self.system])
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.pool_wait.observe(wait.as_secs_f64());
    }
}
