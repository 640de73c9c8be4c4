//! Holds that run out are released without anybody asking.

use std::sync::Arc;
use std::time::Duration;

use contracts::timestamp::SystemClock;
use tokio::time::{Instant, sleep};

use crate::helpers::{DEADLINE, World, hold, order, pin};

async fn until_available(world: &World, sku: &str, units: u64) {
    let started = Instant::now();
    while world.available(sku).await != units {
        assert!(started.elapsed() < DEADLINE, "{units} of {sku} should be available by now");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_hold_that_runs_out_wakes_the_sweeper_and_a_pinned_one_stays() {
    let world = World::start(Arc::new(SystemClock)).await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    let short = Duration::from_millis(300);
    orders.hold(hold(order(1), &[("TEA-1", 1)], short)).await.unwrap();
    orders.pin(pin(order(1))).await.unwrap();
    // The sweeper goes to sleep for long, and is woken by the hold that is made after.
    orders.hold(hold(order(2), &[("TEA-1", 2)], Duration::from_hours(1))).await.unwrap();
    orders.hold(hold(order(3), &[("TEA-1", 4)], short)).await.unwrap();
    assert_eq!(world.available("TEA-1").await, 3);
    until_available(&world, "TEA-1", 7).await;
    orders.hold(hold(order(3), &[("TEA-1", 5)], Duration::from_hours(1))).await.unwrap();
    assert_eq!(world.available("TEA-1").await, 2, "an order whose hold ran out may hold anew, also other units");
}

#[tokio::test]
async fn every_background_task_ends_when_the_process_stops() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    world.stop.cancel();
    tokio::time::timeout(DEADLINE / 2, world.host.finish()).await.unwrap();
}
