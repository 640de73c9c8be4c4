//! A Redis that comes back without its last changes, under a running service: what orders say is true again before anybody is
//! served. Each store is made to forget by bringing an older copy of its append-only file back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Reason;
use contracts::Refusal;
use contracts::grpc::inventory as pb;
use contracts::grpc::inventory::ReservationStatus;
use contracts::timestamp::{ManualClock, SystemClock};
use inventory::adapters::persistence::redis::RedisStore;
use inventory::domain::claim::Claim;
use messaging::{Subscription, Verdict};
use tempfile::TempDir;

use crate::helpers::{
    DEADLINE, Instance, START, World, commit, commit_bought, hold, new_product, order, pin, release, take_back,
};
use crate::redis::{Prefix, stock};
use crate::redis_server::Server;

const TTL: Duration = Duration::from_hours(1);

struct Shop {
    world: World,
    store: RedisStore,
    clock: ManualClock,
    prefix: Prefix,
    server: Server,
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Shop {
    /// Ten of A and ten of B.
    async fn open() -> Self {
        let server = Server::start();
        let prefix = Prefix::on(server.url());
        let clock = ManualClock::starting_at(START);
        let world = World::on(prefix.url(), Arc::new(clock.clone())).await;
        let shop = Self { world, store: prefix.open(), clock, prefix, server };
        shop.served().await;
        for sku in ["A", "B"] {
            shop.world.add_product(sku, 10).await;
        }
        shop
    }

    async fn served(&self) {
        eventually("it is served", async || {
            let list = pb::ListProductsRequest::default();
            self.world.service("orders").list_products(list).await.is_ok()
        })
        .await;
    }

    fn get(&self, key: &str) -> Option<String> {
        redis::cmd("GET").arg(self.prefix.key(key)).query(&mut self.prefix.connection()).unwrap()
    }

    fn say(&self, n: u128, claim: Option<Claim>, units: u32) {
        self.world.orders.event(order(n), claim, &[("A", units)]);
    }

    async fn held(&self, n: u128, units: u32) {
        self.world.service("orders").hold(hold(order(n), &[("A", units)], TTL)).await.unwrap();
    }

    async fn pinned(&self, n: u128, units: u32) {
        self.held(n, units).await;
        self.world.service("orders").pin(pin(order(n))).await.unwrap();
    }

    async fn committed(&self, n: u128, units: u32) {
        self.pinned(n, units).await;
        self.world.service("orders").commit(commit(order(n))).await.unwrap();
    }

    /// It forgets everything since the copy was made, and is served again.
    async fn fall_back_to(&mut self, copy: TempDir) {
        self.server.fall_back_to(copy);
        // Known by the run that it was verified at: not what came with the copy.
        let run: String = redis::cmd("INFO").arg("server").query(&mut self.prefix.connection()).unwrap();
        eventually("it is restored", async || {
            self.get("verified").is_some_and(|verified| run.contains(&format!("run_id:{verified}")))
        })
        .await;
        self.served().await;
    }

    async fn status(&self, n: u128) -> Option<ReservationStatus> {
        let get = pb::GetReservationRequest { order_id: order(n).to_string() };
        match self.world.service("orders").get_reservation(get).await {
            Ok(found) => Some(found.into_inner().status()),
            Err(status) => {
                assert_eq!(Refusal::from_status(&status).reason, Reason::ReservationNotFound);
                None
            }
        }
    }

    async fn adds_up(&self, on_hand: u64, reserved: u64) {
        assert_eq!(stock(&self.store, "A").await, (on_hand, reserved));
        let findings = self.store.audit.audit().await.unwrap();
        assert!(findings.is_clean() && findings.in_use.is_empty(), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_forgotten_hold_and_pin_are_there_again_before_anybody_can_take_the_goods() {
    let mut shop = Shop::open().await;
    shop.held(2, 2).await;
    let copy = shop.server.copy();
    shop.pinned(1, 7).await;
    shop.world.service("orders").pin(pin(order(2))).await.unwrap();
    for (n, units) in [(1, 7), (2, 2)] {
        shop.say(n, Some(Claim::Promised), units);
    }
    shop.fall_back_to(copy).await;
    let greedy = shop.world.service("orders").hold(hold(order(9), &[("A", 2)], TTL)).await;
    assert_eq!(Refusal::from_status(&greedy.unwrap_err()).reason, Reason::OutOfStock);
    shop.adds_up(10, 9).await;
    // The saga goes on as if nothing had been.
    for n in [1, 2] {
        assert_eq!(shop.status(n).await, Some(ReservationStatus::Pinned));
        shop.world.service("orders").commit(commit(order(n))).await.unwrap();
    }
    shop.adds_up(1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_forgotten_commit_is_made_again_once() {
    let mut shop = Shop::open().await;
    shop.pinned(1, 3).await;
    let copy = shop.server.copy();
    shop.world.service("orders").commit(commit(order(1))).await.unwrap();
    shop.committed(2, 4).await;
    for (n, units) in [(1, 3), (2, 4)] {
        shop.say(n, Some(Claim::Sold), units);
    }
    shop.fall_back_to(copy).await;
    shop.adds_up(3, 0).await;
    for n in [1, 2] {
        assert_eq!(shop.status(n).await, Some(ReservationStatus::Committed));
        shop.world.service("orders").commit(commit(order(n))).await.unwrap();
    }
    shop.adds_up(3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn forgotten_releases_and_returns_give_the_goods_back() {
    let mut shop = Shop::open().await;
    shop.pinned(1, 3).await;
    shop.committed(2, 4).await;
    let copy = shop.server.copy();
    let mut orders = shop.world.service("orders");
    orders.release(release(order(1))).await.unwrap();
    orders.r#return(take_back(order(2))).await.unwrap();
    orders.release(release(order(3))).await.unwrap();
    for (n, units) in [(1, 3), (2, 4), (3, 1)] {
        shop.say(n, Some(Claim::Free), units);
    }
    shop.fall_back_to(copy).await;
    shop.adds_up(10, 0).await;
    assert_eq!(shop.status(1).await, Some(ReservationStatus::Released));
    assert_eq!(shop.status(2).await, Some(ReservationStatus::Returned));
    let late = shop.world.service("orders").hold(hold(order(3), &[("A", 1)], TTL)).await;
    assert_eq!(Refusal::from_status(&late.unwrap_err()).reason, Reason::ReservationClosed, "a late hold stays refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn what_orders_had_not_written_down_ends_well_by_the_saga_alone() {
    let mut shop = Shop::open().await;
    let copy = shop.server.copy();
    // Pinned, but orders did not write that down before it was asked.
    shop.pinned(1, 4).await;
    shop.say(1, None, 4);
    shop.fall_back_to(copy).await;
    let mut orders = shop.world.service("orders");
    assert_eq!(Refusal::from_status(&orders.pin(pin(order(1))).await.unwrap_err()).reason, Reason::ReservationNotFound);
    // It did then, and went on to the end: the goods are taken from what is free.
    let refused = orders.commit(commit(order(1))).await;
    assert_eq!(Refusal::from_status(&refused.unwrap_err()).reason, Reason::ReservationNotFound);
    for _ in 0..2 {
        orders.commit(commit_bought(order(1), &[("A", 4)])).await.unwrap();
    }
    shop.adds_up(6, 0).await;
    // And what is free no more is booked as found and sold.
    shop.pinned(2, 5).await;
    orders.commit(commit_bought(order(3), &[("A", 4)])).await.unwrap();
    shop.adds_up(5, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_lost_everything_gets_its_sales_from_orders_and_its_goods_from_people() {
    let mut shop = Shop::open().await;
    shop.committed(1, 3).await;
    shop.pinned(2, 2).await;
    shop.say(1, Some(Claim::Sold), 3);
    shop.say(2, Some(Claim::Promised), 2);
    shop.fall_back_to(TempDir::new().unwrap()).await;
    assert_eq!(shop.status(1).await, Some(ReservationStatus::Committed));
    assert_eq!(shop.status(2).await, None, "there is nothing that could be promised");
    // Who does not wait for the goods gets the money back: the order ends without a human.
    shop.world.service("orders").commit(commit_bought(order(3), &[("A", 1)])).await.unwrap();
    shop.world.service("orders").r#return(take_back(order(3))).await.unwrap();
    assert_eq!(shop.status(3).await, Some(ReservationStatus::Returned));
    let findings = shop.store.audit.audit().await.unwrap();
    assert!(findings.is_clean(), "{findings:?}");
    // Seven are on the shelf: someone counts them.
    shop.world.service("souk").create_product(new_product("A", 7)).await.unwrap();
    shop.world.service("orders").commit(commit_bought(order(2), &[("A", 2)])).await.unwrap();
    shop.adds_up(5, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_was_emptied_while_it_ran_is_noticed() {
    let shop = Shop::open().await;
    shop.committed(1, 3).await;
    shop.say(1, Some(Claim::Sold), 3);
    let _: String = redis::cmd("FLUSHALL").query(&mut shop.prefix.connection()).unwrap();
    eventually("it is restored", async || shop.get("verified").is_some()).await;
    shop.served().await;
    assert_eq!(shop.status(1).await, Some(ReservationStatus::Committed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn nobody_is_served_before_orders_were_asked() {
    let mut shop = Shop::open().await;
    shop.pinned(1, 3).await;
    shop.say(1, Some(Claim::Promised), 3);
    shop.world.orders.set_away(true);
    shop.server.kill();
    shop.server.bring_back();
    // Long enough for a service that does not ask: the store itself answers at once.
    assert_eq!(stock(&shop.store, "A").await, (10, 3));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let mut orders = shop.world.service("orders");
        for refused in [
            orders.hold(hold(order(9), &[("A", 1)], TTL)).await,
            orders.commit(commit(order(1))).await,
            orders.release(release(order(1))).await,
        ] {
            let refusal = Refusal::from_status(&refused.unwrap_err());
            assert_eq!(refusal.reason, Reason::Unavailable);
            assert!(refusal.retry_after.is_some());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.world.orders.set_away(false);
    shop.served().await;
    shop.adds_up(10, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn orders_are_asked_from_where_the_data_ends_and_not_at_all_by_an_ordinary_start() {
    let mut shop = Shop::open().await;
    assert!(shop.world.orders.take_asked().iter().all(|after| *after == 0), "a new store begins at the beginning");
    for n in 1..=5 {
        shop.committed(n, 1).await;
        shop.say(n, Some(Claim::Sold), 1);
    }
    shop.world.orders.settle(4);
    // Settled for a minute, and then kept with the data.
    eventually("the position is kept", async || {
        shop.clock.advance(Duration::from_secs(20));
        shop.get("mark").as_deref() == Some("4")
    })
    .await;
    shop.world.orders.take_asked();
    let second = shop.world.second_instance().await;
    eventually("the second is served", async || {
        second.service("orders").list_products(pb::ListProductsRequest::default()).await.is_ok()
    })
    .await;
    assert_eq!(shop.world.orders.take_asked(), Vec::<u64>::new(), "nothing was lost");
    let copy = shop.server.copy();
    shop.fall_back_to(copy).await;
    let asked = shop.world.orders.take_asked();
    assert!(asked.contains(&4) && asked.iter().all(|after| *after >= 4), "{asked:?}");
    shop.adds_up(5, 0).await;
}

async fn customer(instance: &Instance, world: &World, n: u128) -> bool {
    // Each asks now the one, now the other, as a load balancer would.
    let of = |n: u128| if n.is_multiple_of(2) { instance.service("orders") } else { world.service("orders") };
    let items = [("A", 1)];
    if of(n).hold(hold(order(n), &items, TTL)).await.is_err() {
        return false;
    }
    of(n + 1).pin(pin(order(n))).await.unwrap();
    for at in [n, n + 1] {
        of(at).commit(commit_bought(order(n), &items)).await.unwrap();
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn two_instances_sell_release_and_publish_everything_once() {
    let prefix = Prefix::new();
    let world = World::on(prefix.url(), Arc::new(SystemClock)).await;
    let second = world.second_instance().await;
    let mut heard = world.bus.subscribe(Subscription::new("test.events", &["inventory.#"])).await.unwrap();
    let is_served = async || {
        let asked = pb::ListProductsRequest::default;
        world.service("orders").list_products(asked()).await.is_ok()
            && second.service("orders").list_products(asked()).await.is_ok()
    };
    eventually("both are served", is_served).await;
    world.add_product("A", 25).await;
    world.add_product("B", 30).await;
    // Holds that run out under the eyes of two sweepers.
    for n in 100..120 {
        let by = if n % 2 == 0 { second.service("orders") } else { world.service("orders") };
        by.clone().hold(hold(order(n), &[("B", 1)], Duration::from_millis(300))).await.unwrap();
    }
    let sold = futures::future::join_all((0..40).map(|n| customer(&second, &world, n))).await;
    assert_eq!(sold.iter().filter(|sold| **sold).count(), 25);
    eventually("all that ran out is free again", async || world.available("B").await == 30).await;
    assert_eq!(world.available("A").await, 0);
    let expected = [("inventory.committed", 25), ("inventory.released", 20), ("inventory.reserved", 45)];
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    while told.values().sum::<usize>() < 90 {
        let deliveries = tokio::time::timeout(DEADLINE, heard.next()).await.unwrap().unwrap();
        for delivery in &deliveries {
            let event = delivery.event.as_ref().unwrap();
            assert!(ids.insert(event.id), "published twice: {event:?}");
            *told.entry(event.event_type.clone()).or_default() += 1;
        }
        heard.settle(deliveries.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    }
    assert_eq!(told.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>(), expected);
    let findings = prefix.open().audit.audit().await.unwrap();
    assert!(findings.is_clean(), "{findings:?}");
}
