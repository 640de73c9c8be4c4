//! Holds that run out are released without anybody asking.

use std::sync::Arc;
use std::time::Duration;

use contracts::timestamp::SystemClock;
use tokio::time::{Instant, sleep};

use crate::helpers::{DEADLINE, World, hold, order};

async fn until_available(world: &World, sku: &str, units: u64) {
    let started = Instant::now();
    while world.available(sku).await != units {
        assert!(started.elapsed() < DEADLINE, "{units} of {sku} should be available by now");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_hold_that_runs_out_sooner_wakes_the_sweeper_and_may_then_be_held_anew() {
    let world = World::start(Arc::new(SystemClock)).await;
    world.add_product("TEA-1", 10).await;
    let mut orders = world.service("orders");
    let long = Duration::from_hours(1);
    // The sweeper goes to sleep for long, and is woken by the hold that is made after.
    orders.hold(hold(order(1), &[("TEA-1", 2)], long)).await.unwrap();
    orders.hold(hold(order(2), &[("TEA-1", 4)], Duration::from_millis(50))).await.unwrap();
    until_available(&world, "TEA-1", 8).await;
    orders.hold(hold(order(2), &[("TEA-1", 5)], long)).await.unwrap();
    assert_eq!(world.available("TEA-1").await, 3, "an order whose hold ran out may hold anew, also other units");
}

#[tokio::test]
async fn every_background_task_ends_when_the_process_stops() {
    let (world, _) = World::at_rest().await;
    world.add_product("TEA-1", 10).await;
    world.stop.cancel();
    tokio::time::timeout(DEADLINE / 2, world.host.finish()).await.unwrap();
}
