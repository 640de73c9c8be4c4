//! How pools are used, asked when metrics are read.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

/// What a pool has at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections that nobody uses.
    pub idle: u64,
    /// Connections in use.
    pub used: u64,
    /// Most connections that it may open.
    pub max: u64,
}

struct Watched {
    labels: [String; 2],
    /// `None` once the pool is gone.
    state: Box<dyn Fn() -> Option<PoolState> + Send>,
}

static POOLS: LazyLock<Mutex<Vec<Watched>>> = LazyLock::new(|| {
    if let Err(error) = prometheus::register(Box::new(Pools::new())) {
        tracing::error!(error = %error, "the metrics of pools can't be registered");
    }
    Mutex::default()
});

/// Asks for the state of a pool each time metrics are read, until it answers `None`.
pub(super) fn watch(service: &str, system: &str, state: impl Fn() -> Option<PoolState> + Send + 'static) {
    let mut pools = lock();
    // Those that are gone go when metrics are read, and here: a process whose metrics nobody reads keeps none either.
    pools.retain(|pool| (pool.state)().is_some());
    pools.push(Watched { labels: [service.to_owned(), system.to_owned()], state: Box::new(state) });
}

fn lock() -> MutexGuard<'static, Vec<Watched>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The collector of all pools.
struct Pools {
    connections: IntGaugeVec,
    max: IntGaugeVec,
}

impl Pools {
    fn new() -> Self {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).unwrap_or_else(|error| panic!("metric {name}: {error}"))
        };
        Self {
            connections: gauge(
                "db_pool_connections",
                "Connections of a store's pool by state.",
                &["service", "system", "state"],
            ),
            max: gauge("db_pool_max_connections", "Most connections of a store's pool.", &["service", "system"]),
        }
    }
}

impl Collector for Pools {
    fn desc(&self) -> Vec<&Desc> {
        [self.connections.desc(), self.max.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Held throughout: two readers at once must not add to the same sums.
        let mut pools = lock();
        self.connections.reset();
        self.max.reset();
        pools.retain(|pool| {
            let Some(state) = (pool.state)() else { return false };
            let [service, system] = pool.labels.each_ref().map(String::as_str);
            // Several pools of one service are one line.
            for (name, count) in [("idle", state.idle), ("used", state.used)] {
                self.connections.with_label_values(&[service, system, name]).add(count as i64);
            }
            self.max.with_label_values(&[service, system]).add(state.max as i64);
            true
        });
        [self.connections.collect(), self.max.collect()].concat()
    }
}
