//! Two replicas on one database, one of which dies with checkouts in its hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as AtomicOrdering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId, UuidV7Generator};
use contracts::{Money, Sku};
use orders::adapters::persistence::postgres::PostgresOrderRepository;
use orders::application::Ordering;
use orders::application::ports::{
    Charge, HoldError, Inventory, NeighbourError, OrderFilter, OrderRepository, Payments, PinError,
};
use orders::application::resume_sagas::LOOK_AT_LEAST_EVERY;
use orders::application::saga::LEASE;
use orders::domain::{Order, PricedProduct, SagaState};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::helpers::{Held, World, request};
use crate::postgres_fixture::Schema;

const DEADLINE: Duration = Duration::from_secs(10);

/// Where the replica stands still until it is killed: after the effect of the call, before anything of it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuck {
    Hold,
    Pin,
    Charge,
    Commit,
}

/// Neighbours of the replica that will be killed.
struct Frozen<T> {
    real: Arc<T>,
    at: Stuck,
    stuck: Arc<AtomicUsize>,
}

impl<T> Frozen<T> {
    async fn pass<R>(&self, here: Stuck, call: impl Future<Output = R> + Send) -> R {
        let result = call.await;
        if here == self.at {
            self.stuck.fetch_add(1, AtomicOrdering::SeqCst);
            std::future::pending::<()>().await;
        }
        result
    }
}

#[async_trait]
impl<T: Inventory> Inventory for Frozen<T> {
    async fn price(&self, skus: &[Sku]) -> Result<Vec<PricedProduct>, NeighbourError> {
        self.real.price(skus).await
    }
    async fn hold(&self, order: &Order) -> Result<(), HoldError> {
        self.pass(Stuck::Hold, self.real.hold(order)).await
    }
    async fn pin(&self, order_id: OrderId) -> Result<(), PinError> {
        self.pass(Stuck::Pin, self.real.pin(order_id)).await
    }
    async fn commit(&self, order: &Order) -> Result<(), NeighbourError> {
        self.pass(Stuck::Commit, self.real.commit(order)).await
    }
    async fn give_back(&self, order_id: OrderId) -> Result<(), NeighbourError> {
        self.real.give_back(order_id).await
    }
}

#[async_trait]
impl<T: Payments> Payments for Frozen<T> {
    async fn charge(&self, order: &Order, method: &str) -> Result<Charge, NeighbourError> {
        self.pass(Stuck::Charge, self.real.charge(order, method)).await
    }
    async fn refund(&self, order_id: OrderId, id: RefundId, amount: Money, reason: &str) -> Result<(), NeighbourError> {
        self.real.refund(order_id, id, amount, reason).await
    }
}

async fn open(url: String) -> Arc<dyn OrderRepository> {
    let repository = PostgresOrderRepository::new(&url, Arc::new(UuidV7Generator)).unwrap();
    repository.database().prepare().await.unwrap();
    Arc::new(repository)
}

/// A replica in a runtime of its own, so that it can be ended with everything it does; it places an order and gets stuck.
async fn replica_stuck(world: &World, url: String, at: Stuck) -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stuck = Arc::<AtomicUsize>::default();
    let ordering = Ordering {
        repository: runtime.spawn(open(url)).await.unwrap(),
        inventory: Arc::new(Frozen { real: Arc::clone(&world.inventory), at, stuck: Arc::clone(&stuck) }),
        payments: Arc::new(Frozen { real: Arc::clone(&world.payments), at, stuck: Arc::clone(&stuck) }),
        instance: "the replica to be killed".into(),
        running: TaskTracker::new(),
        due: Arc::new(Notify::new()),
        ..world.ordering.clone()
    };
    runtime.spawn(async move { ordering.place_order(request(1, "card_ok", Some("key"))).await.map(drop) });
    until(|| stuck.load(AtomicOrdering::SeqCst) == 1).await;
    runtime
}

async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reached).await.expect("it happens in time");
}

async fn a_checkout_goes_on_elsewhere(at: Stuck) {
    let schema = Schema::create().await;
    let repository = open(schema.url()).await;
    let world = World::with_repository(TempDir::new().unwrap(), Arc::clone(&repository), Arc::clone(&repository));
    let stop = CancellationToken::new();
    let (resuming, stopping) = (world.ordering.clone(), stop.clone());
    let doomed = replica_stuck(&world, schema.url(), at).await;
    let order = repository.list(OrderFilter::default(), 1).await.unwrap().remove(0).id();

    // A replica that starts now leaves the other its leases: whether it lives, nobody here can tell.
    let now = contracts::Clock::now(&world.clock);
    assert_eq!(open(schema.url()).await.release_leases_of_the_dead(now).await.unwrap(), 0);
    world.clock.advance(LEASE.saturating_sub(Duration::from_millis(1)));
    assert!(world.ordering.take_up_due().await.unwrap().is_empty(), "{at:?}: its owner may still be at it");
    doomed.shutdown_background();

    let resumer = tokio::spawn(async move { resuming.resume_until(stopping).await });
    world.clock.advance(Duration::from_millis(1));
    let done = async {
        while repository.find_with_saga(order).await.unwrap().unwrap().1.state() != SagaState::Done {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("the other replica takes it up by itself");
    stop.cancel();
    resumer.await.unwrap();
    assert_eq!(world.status(order).await, OrderStatus::Confirmed, "{at:?}");
    assert_eq!(world.inventory.state(order), Some(Held::Committed), "{at:?}");
    assert_eq!(world.payments.captured.lock().unwrap().len(), 1, "{at:?}");
    let statuses: Vec<_> = repository.timeline(order).await.unwrap().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [OrderStatus::Pending, OrderStatus::Confirmed], "{at:?}: each is told once");
    let again = world.ordering.place_order(request(1, "card_ok", Some("key"))).await.unwrap();
    assert_eq!(again.order.id(), order, "{at:?}: the customer who asks again gets the same order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn the_checkouts_of_a_replica_that_died_go_on_in_another_wherever_it_stood() {
    for at in [Stuck::Hold, Stuck::Pin, Stuck::Charge, Stuck::Commit] {
        a_checkout_goes_on_elsewhere(at).await;
    }
}

#[test]
fn what_a_dead_replica_leaves_is_taken_up_within_ten_seconds() {
    assert!(LEASE + LOOK_AT_LEAST_EVERY < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_POSTGRES_URL"]
async fn two_replicas_that_hear_of_one_payment_at_once_act_on_it_once() {
    let schema = Schema::create().await;
    let repository = open(schema.url()).await;
    let world = World::with_repository(TempDir::new().unwrap(), Arc::clone(&repository), Arc::clone(&repository));
    let other = Ordering { repository: open(schema.url()).await, ..world.ordering.clone() };
    for _ in 0..5 {
        *world.payments.settled.lock().unwrap() = false;
        let order = world.ordering.place_order(request(1, "card_timeout_captured", None)).await.unwrap().order.id();
        world.idle().await;
        *world.payments.settled.lock().unwrap() = true;
        // A redelivery finds nothing to do, whichever replica it comes to.
        let heard = [&world.ordering, &other, &world.ordering, &other].map(|at| at.payment_settled(order, true));
        for heard in futures::future::join_all(heard).await {
            heard.unwrap();
        }
        world.settle().await;
        assert_eq!(world.status(order).await, OrderStatus::Confirmed);
        assert_eq!(repository.timeline(order).await.unwrap().len(), 2, "confirmed once");
    }
    assert!(world.payments.refunded.lock().unwrap().is_empty());
}
