//! Counting what is under way.

use prometheus::IntGauge;

/// One more in a gauge for as long as this lives, however it ends: answered, given up, or unwound by a panic.
#[derive(Debug)]
#[must_use = "counts only while it is kept"]
pub struct InFlight(IntGauge);

impl InFlight {
    /// Begins to count.
    pub fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_by_a_panic_is_not_counted_for_ever() {
        let gauge = IntGauge::new("in_flight_test", "test").unwrap();
        let other = InFlight::begin(&gauge);
        let inner = gauge.clone();
        let ended = std::panic::catch_unwind(move || {
            let _counted = InFlight::begin(&inner);
            assert_eq!(inner.get(), 2);
            panic!("meant");
        });
        assert!(ended.is_err());
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
