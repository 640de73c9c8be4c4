//! Hits and misses of a cache.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};

static REQUESTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| super::counter("cache_requests_total", "Look-ups in a cache.", &["cache", "result"]));

/// The look-ups of one cache: `cache_requests_total{cache,result}`, result `hit` or `miss`.
///
/// Both series are there from the start, at 0.
#[derive(Clone, Debug)]
pub struct Cache {
    hits: IntCounter,
    misses: IntCounter,
}

impl Cache {
    /// Counts for the cache of this name; for one that is known when the program is written.
    pub fn new(name: &'static str) -> Self {
        let of = |result| REQUESTS.with_label_values(&[name, result]);
        Self { hits: of("hit"), misses: of("miss") }
    }

    /// What was asked for was there.
    pub fn hit(&self) {
        if super::enabled() {
            self.hits.inc();
        }
    }

    /// What was asked for had to be fetched, or is known not to be there.
    pub fn miss(&self) {
        if super::enabled() {
            self.misses.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_and_misses_are_two_series_that_begin_at_nothing() {
        let cache = Cache::new("unit test");
        assert_eq!((cache.hits.get(), cache.misses.get()), (0, 0));
        cache.hit();
        cache.hit();
        cache.miss();
        assert_eq!((cache.hits.get(), cache.misses.get()), (2, 1));
    }
}
