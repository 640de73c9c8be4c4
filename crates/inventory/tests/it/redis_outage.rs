//! A Redis that goes away and comes back: a private server, killed and started again. Needs the server's program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::timestamp::ManualClock;
use contracts::{Reason, Refusal};
use inventory::adapters::persistence::redis::RedisStore;
use inventory::application::ports::{
    CatalogueRepository as _, ChangeError, RepositoryError, ReservationRepository as _,
};
use inventory::domain::reservation::{ReservationCommand, Status};
use messaging::Subscription;
use messaging::outbox::OutboxSource as _;

use crate::helpers::{DEADLINE, START, World, hold as hold_request, order};
use crate::redis::{Prefix, add, hold, sku, stock};
use crate::redis_server::Server;

/// What "at once" may take on a busy machine; no timeout of the adapter is as short.
const AT_ONCE: Duration = Duration::from_millis(900);

async fn eventually_answers(store: &RedisStore) {
    let ping = store.ping();
    let back = async {
        while ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn what_was_acknowledged_survives_a_kill_in_the_middle_of_checkouts() {
    let mut server = Server::start();
    let prefix = Prefix::on(server.url());
    let store = Arc::new(prefix.open());
    add(&store, "A", 100_000).await;
    for round in 0..3_u128 {
        let buyers: Vec<_> = (0..8_u128)
            .map(|buyer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut sold = Vec::new();
                    for n in 0.. {
                        let id = order((round * 8 + buyer) * 1_000_000 + n);
                        for command in [hold(&[("A", 1)]), ReservationCommand::Pin, ReservationCommand::Commit] {
                            match store.reservations.apply(id, command, START).await {
                                Ok(_) => {}
                                Err(ChangeError::Store(RepositoryError::Unavailable(_))) => return sold,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                        sold.push(id);
                    }
                    sold
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        let mut sold = Vec::new();
        for buyer in buyers {
            sold.extend(tokio::time::timeout(DEADLINE, buyer).await.unwrap().unwrap());
        }
        server.bring_back();
        eventually_answers(&store).await;
        assert!(!sold.is_empty());
        for id in sold {
            let found = store.reservations.find(id).await.unwrap().unwrap();
            assert_eq!(found.status(), Status::Committed);
        }
        let findings = store.audit.audit().await.unwrap();
        assert!(findings.is_clean() && findings.in_use.is_empty(), "{findings:?}");
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn the_catalogue_the_holds_and_the_outbox_are_there_after_a_restart() {
    let mut server = Server::start();
    let prefix = Prefix::on(server.url());
    let store = prefix.open();
    add(&store, "A", 10).await;
    store.reservations.apply(order(1), hold(&[("A", 3)]), START).await.unwrap();
    let before = (store.catalogue.find(sku("A")).await.unwrap(), store.reservations.find(order(1)).await.unwrap());
    server.kill();
    server.bring_back();
    eventually_answers(&store).await;
    assert_eq!(
        (store.catalogue.find(sku("A")).await.unwrap(), store.reservations.find(order(1)).await.unwrap()),
        before
    );
    assert_eq!(store.outbox.pending(10).await.unwrap().len(), 2, "what was not published waits");
    // The scripts are unknown to the new server: they are sent again.
    assert_eq!(store.reservations.release_expired(START.plus(Duration::from_mins(2)), 10).await.unwrap(), 1);
    assert_eq!(stock(&store, "A").await, (10, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_service_whose_redis_is_away_says_so_at_once_and_comes_back_by_itself() {
    let mut server = Server::start();
    let prefix = Prefix::on(server.url());
    let store = prefix.open();
    let world = World::on(prefix.url(), Arc::new(ManualClock::starting_at(START))).await;
    world.add_product("TEA-1", 10).await;
    let mut heard = world.bus.subscribe(Subscription::new("test.events", &["inventory.#"])).await.unwrap();
    server.kill();
    for n in 0..5 {
        let begun = Instant::now();
        let refused = world.service("orders").hold(hold_request(order(n), &[("TEA-1", 1)], DEADLINE)).await;
        let refusal = Refusal::from_status(&refused.unwrap_err());
        assert_eq!(refusal.reason, Reason::Unavailable);
        assert!(store.ping()().await.is_err());
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    }
    server.bring_back();
    let begun = Instant::now();
    while world.service("orders").hold(hold_request(order(7), &[("TEA-1", 1)], DEADLINE)).await.is_err() {
        assert!(begun.elapsed() < DEADLINE, "it did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.ping()().await.is_ok());
    let deliveries = tokio::time::timeout(DEADLINE, heard.next()).await.unwrap().unwrap();
    assert_eq!(deliveries[0].event.as_ref().unwrap().subject, order(7).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_service_started_before_its_redis_repairs_it_once_it_is_there() {
    let mut server = Server::start();
    let prefix = Prefix::on(server.url());
    let store = prefix.open();
    add(&store, "A", 10).await;
    store.reservations.apply(order(1), hold(&[("A", 3)]), START).await.unwrap();
    let damage = redis::cmd("HSET").arg(prefix.key("product:A")).arg(&["on_hand", "9", "reserved", "9"]).to_owned();
    let _: i64 = damage.query(&mut prefix.connection()).unwrap();
    server.kill();
    let _world = World::on(prefix.url(), Arc::new(ManualClock::starting_at(START))).await;
    assert!(store.ping()().await.is_err());
    server.bring_back();
    eventually_answers(&store).await;
    let begun = Instant::now();
    while stock(&store, "A").await != (10, 3) {
        assert!(begun.elapsed() < DEADLINE, "it was not repaired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_hangs_is_not_waited_for_for_long_and_no_answer_is_mixed_up_afterwards() {
    let server = Server::start();
    let prefix = Prefix::on(server.url());
    let store = prefix.open();
    for (text, units) in [("A", 10), ("B", 20)] {
        add(&store, text, units).await;
    }
    let pause = redis::cmd("CLIENT").arg(&["PAUSE", "3500", "ALL"]).to_owned();
    let _: String = pause.query(&mut prefix.connection()).unwrap();
    let begun = Instant::now();
    let refused = store.reservations.apply(order(1), hold(&[("A", 1)]), START).await;
    assert!(matches!(refused, Err(ChangeError::Store(RepositoryError::Unavailable(_)))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    eventually_answers(&store).await;
    // It may have happened; repeating is right either way.
    store.reservations.apply(order(1), hold(&[("A", 1)]), START).await.unwrap();
    assert_eq!((stock(&store, "A").await, stock(&store, "B").await), ((10, 1), (20, 0)));
}
