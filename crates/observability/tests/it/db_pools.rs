//! Pools are asked when metrics are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use observability::db::{Client, PoolState, System};

use crate::db::metric;

#[test]
fn pools_of_a_service_are_added_up_and_forgotten_with_the_last_of_them() {
    let used = Arc::new(AtomicU64::new(1));
    let client = Client::new(System::Redis, "0").owned_by("pools");
    let watch = |used: &Arc<AtomicU64>| {
        let used = Arc::downgrade(used);
        client.watch_pool(move || Some(PoolState { idle: 2, used: used.upgrade()?.load(Ordering::Relaxed), max: 5 }));
    };
    watch(&used);
    watch(&used);
    let connections =
        |state: &str| metric(&format!("db_pool_connections{{service=\"pools\",state=\"{state}\",system=\"redis\"}}"));
    let max = || metric("db_pool_max_connections{service=\"pools\",system=\"redis\"}");
    assert_eq!((connections("idle"), connections("used"), max()), (Some(4.0), Some(2.0), Some(10.0)));
    used.store(3, Ordering::Relaxed);
    assert_eq!(connections("used"), Some(6.0), "as it is now");
    drop(used);
    assert_eq!((connections("used"), max()), (None, None));
}

#[test]
fn waits_for_a_pool_are_observed() {
    let client = Client::new(System::Sqlite, "waits").owned_by("waits");
    client.waited(Duration::from_millis(3));
    assert_eq!(metric("db_pool_wait_seconds_count{service=\"waits\",system=\"sqlite\"}"), Some(1.0));
}
