//! How long a request has waited for the parts that it depends on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;

use crate::RequestContext;

/// A kind of part that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// A database that speaks SQL.
    Sql,
    /// Redis.
    Redis,
    /// MongoDB.
    Mongo,
    /// Another service, over gRPC.
    Grpc,
    /// The broker.
    Broker,
}

/// Each kind with the span attributes that tell its milliseconds and its calls.
const KINDS: [(Dependency, &str, &str); 5] = [
    (Dependency::Sql, "time.sql_ms", "calls.sql"),
    (Dependency::Redis, "time.redis_ms", "calls.redis"),
    (Dependency::Mongo, "time.mongo_ms", "calls.mongo"),
    (Dependency::Grpc, "time.grpc_ms", "calls.grpc"),
    (Dependency::Broker, "time.broker_ms", "calls.broker"),
];

/// Time and calls by kind. Calls that ran side by side are added up: the sum may be more than the request took.
#[derive(Debug, Default)]
pub struct Spent([Entry; KINDS.len()]);

#[derive(Debug, Default)]
struct Entry {
    nanos: AtomicU64,
    calls: AtomicU64,
}

impl Spent {
    /// One call more.
    pub fn add(&self, on: Dependency, time: Duration) {
        let entry = &self.0[on as usize];
        entry.nanos.fetch_add(time.as_nanos().min(u128::from(u64::MAX)) as u64, Ordering::Relaxed);
        entry.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The time and the number of calls so far.
    pub fn on(&self, on: Dependency) -> (Duration, u64) {
        let entry = &self.0[on as usize];
        (Duration::from_nanos(entry.nanos.load(Ordering::Relaxed)), entry.calls.load(Ordering::Relaxed))
    }

    /// Span attributes of the kinds that were called: `time.<kind>_ms` and `calls.<kind>`.
    pub fn attributes(&self) -> impl Iterator<Item = KeyValue> {
        KINDS
            .iter()
            .filter_map(|(kind, time, calls)| {
                let (spent, count) = self.on(*kind);
                (count > 0)
                    .then(|| [KeyValue::new(*time, spent.as_secs_f64() * 1e3), KeyValue::new(*calls, count as i64)])
            })
            .flatten()
    }
}

/// Adds a call to what the running request has spent; nothing outside of a request.
pub fn spend(on: Dependency, time: Duration) {
    RequestContext::with_current(|request| request.spent().add(on, time));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_place() {
        for (index, (kind, _, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }

    #[tokio::test]
    async fn what_a_request_spends_is_added_up_by_kind() {
        let context = RequestContext::background();
        context
            .clone()
            .scope(async {
                spend(Dependency::Sql, Duration::from_millis(2));
                spend(Dependency::Sql, Duration::from_millis(3));
                spend(Dependency::Broker, Duration::from_millis(1));
            })
            .await;
        assert_eq!(context.spent().on(Dependency::Sql), (Duration::from_millis(5), 2));
        let names: Vec<_> = context.spent().attributes().map(|attribute| attribute.key.to_string()).collect();
        assert_eq!(names, ["time.sql_ms", "calls.sql", "time.broker_ms", "calls.broker"]);
        spend(Dependency::Redis, Duration::from_millis(1));
        assert_eq!(context.spent().on(Dependency::Redis).1, 0, "outside of a request nothing is counted");
    }
}
