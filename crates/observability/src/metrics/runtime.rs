//! What the process's tokio runtimes do, summed over all of them: `tokio_workers`, `tokio_alive_tasks`,
//! `tokio_global_queue_depth`, `tokio_busy_seconds_total`, `tokio_parks_total`.
//!
//! A process has several: its own, and one for each worker of an actix server. Each is made known by [`watch`]. Only what
//! tokio has on its stable API is told. Tasks that actix runs on a worker's own local set are no tasks to tokio's count.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntCounter};
use tokio::runtime::{Handle, Id, RuntimeMetrics};

/// The runtimes of the process.
static RUNTIMES: LazyLock<&'static Runtimes> = LazyLock::new(|| {
    let runtimes: &'static Runtimes = Box::leak(Box::default());
    prometheus::register(Box::new(RuntimeCollector::new(runtimes)))
        .unwrap_or_else(|error| panic!("metrics of the runtimes: {error}"));
    runtimes
});

/// Counts a runtime in, until it ends. Knowing it twice is knowing it once.
///
/// To see the end it spawns one task, which does nothing and is not counted.
pub fn watch(runtime: &Handle) {
    RUNTIMES.watch(runtime);
}

#[derive(Default)]
struct Runtimes(Mutex<State>);

#[derive(Default)]
struct State {
    alive: Vec<(Id, Handle)>,
    /// What runtimes that ended had counted: without it the sums would go back.
    ended: Totals,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    busy: Duration,
    parks: u64,
}

/// The sums of a moment.
#[derive(Default)]
struct Reading {
    workers: usize,
    tasks: usize,
    queued: usize,
    totals: Totals,
}

impl Runtimes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&'static self, runtime: &Handle) {
        let id = runtime.id();
        {
            let mut state = self.state();
            if state.alive.iter().any(|(known, _)| *known == id) {
                return;
            }
            state.alive.push((id, runtime.clone()));
        }
        // A runtime drops its tasks when it ends, and drops at once what it is given after that: not under the lock.
        let end = End { runtimes: self, id };
        drop(runtime.spawn(async move {
            let _end = end;
            std::future::pending::<()>().await;
        }));
    }

    fn forget(&self, id: Id) {
        let mut state = self.state();
        if let Some(index) = state.alive.iter().position(|(known, _)| *known == id) {
            let (_, handle) = state.alive.swap_remove(index);
            state.ended.add(totals(&handle.metrics()));
        }
    }

    fn read(&self) -> Reading {
        let state = self.state();
        let mut reading = Reading { totals: state.ended, ..Reading::default() };
        for (_, handle) in &state.alive {
            let metrics = handle.metrics();
            reading.workers += metrics.num_workers();
            // Without the one that waits for the end.
            reading.tasks += metrics.num_alive_tasks().saturating_sub(1);
            reading.queued += metrics.global_queue_depth();
            reading.totals.add(totals(&metrics));
        }
        reading
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.busy += other.busy;
        self.parks += other.parks;
    }
}

fn totals(metrics: &RuntimeMetrics) -> Totals {
    let mut totals = Totals::default();
    for worker in 0..metrics.num_workers() {
        totals.busy += metrics.worker_total_busy_duration(worker);
        totals.parks += metrics.worker_park_count(worker);
    }
    totals
}

/// Dropped when its runtime ends.
struct End {
    runtimes: &'static Runtimes,
    id: Id,
}

impl Drop for End {
    fn drop(&mut self) {
        self.runtimes.forget(self.id);
    }
}

struct RuntimeCollector {
    runtimes: &'static Runtimes,
    workers: Gauge,
    tasks: Gauge,
    queued: Gauge,
    busy: Counter,
    parks: IntCounter,
}

impl RuntimeCollector {
    fn new(runtimes: &'static Runtimes) -> Self {
        let gauge = |name, help| Gauge::new(name, help).unwrap_or_else(|error| panic!("metric {name}: {error}"));
        Self {
            runtimes,
            workers: gauge("tokio_workers", "Worker threads of all tokio runtimes."),
            tasks: gauge("tokio_alive_tasks", "Tasks that were spawned and have not ended."),
            queued: gauge("tokio_global_queue_depth", "Tasks that wait in the global queues."),
            busy: Counter::new("tokio_busy_seconds_total", "Time that workers spent on tasks.")
                .expect("the name is well formed"),
            parks: IntCounter::new("tokio_parks_total", "Times that a worker had nothing to do and slept.")
                .expect("the name is well formed"),
        }
    }

    fn parts(&self) -> [&dyn Collector; 5] {
        [&self.workers, &self.tasks, &self.queued, &self.busy, &self.parks]
    }
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = self.runtimes.read();
        self.workers.set(reading.workers as f64);
        self.tasks.set(reading.tasks as f64);
        self.queued.set(reading.queued as f64);
        // Two scrapes at once may have read in one order and come here in the other: counters never go back.
        self.busy.inc_by((reading.totals.busy.as_secs_f64() - self.busy.get()).max(0.0));
        self.parks.inc_by(reading.totals.parks.saturating_sub(self.parks.get()));
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes() -> &'static Runtimes {
        Box::leak(Box::default())
    }

    fn a_runtime(workers: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap()
    }

    fn value(families: &[MetricFamily], name: &str) -> f64 {
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        if name.ends_with("_total") { metric.get_counter().get_value() } else { metric.get_gauge().get_value() }
    }

    #[test]
    fn runtimes_are_summed_and_known_once_however_often_they_are_named() {
        let known = runtimes();
        let (one, two) = (a_runtime(2), tokio::runtime::Builder::new_current_thread().build().unwrap());
        for _ in 0..3 {
            known.watch(one.handle());
            known.watch(two.handle());
        }
        assert_eq!(known.read().workers, 3);
        assert_eq!(known.read().tasks, 0, "what watches is not counted");
        let (_hold, held) = tokio::sync::oneshot::channel::<()>();
        one.spawn(held);
        assert_eq!(known.read().tasks, 1);
    }

    #[test]
    fn a_runtime_that_ended_leaves_the_gauges_and_stays_in_the_counters() {
        let known = runtimes();
        let collector = RuntimeCollector::new(known);
        let runtime = a_runtime(1);
        known.watch(runtime.handle());
        let work = runtime.spawn(async {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
        });
        runtime.block_on(work).unwrap();
        // The worker writes its figures down when it goes to sleep.
        while known.read().totals.parks == 0 {
            std::thread::yield_now();
        }
        let before = collector.collect();
        assert!(value(&before, "tokio_parks_total") >= 1.0);
        assert!(value(&before, "tokio_busy_seconds_total") > 0.0);
        drop(runtime);
        let after = collector.collect();
        assert!(value(&after, "tokio_workers").abs() < f64::EPSILON);
        assert!(known.state().alive.is_empty());
        for name in ["tokio_parks_total", "tokio_busy_seconds_total"] {
            assert!(value(&after, name) >= value(&before, name), "{name}");
        }
    }

    #[test]
    fn a_runtime_that_has_ended_already_is_never_counted_in() {
        let known = runtimes();
        let runtime = a_runtime(1);
        let handle = runtime.handle().clone();
        drop(runtime);
        known.watch(&handle);
        assert!(known.state().alive.is_empty());
    }
}
