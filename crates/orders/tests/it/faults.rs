//! Checkouts with every call and every write failing, before its effect or after, at any step: whatever happens, each
//! order ends, charged exactly if confirmed, and the stock adds up.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::event_data::{OrderData, OrderStatus};
use contracts::ids::{OrderId, UserId};
use observability::Cause;
use orders::application::OrderError;
use orders::application::ports::{
    Change, ChangedOrders, IdempotencyRecord, OrderFilter, OrderRepository, RepositoryError, Unfinished,
};
use orders::domain::{Order, OrderEvent, Saga, SagaState};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::helpers::{Fault, Faults, Held, STOCK, World, request, sku, sqlite_repository};

/// A store whose writes fail as they are told.
struct FaultyRepository {
    real: Arc<dyn OrderRepository>,
    faults: Arc<Faults>,
}

fn away<T>() -> Result<T, RepositoryError> {
    Err(RepositoryError::Unavailable("on purpose".into()))
}

#[async_trait]
impl OrderRepository for FaultyRepository {
    async fn place(
        &self,
        order: Order,
        event: OrderEvent,
        saga: Saga,
        key: Option<IdempotencyRecord>,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        self.real.place(order, event, saga, key).await
    }
    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        match self.faults.next() {
            Fault::None => self.real.save(change).await,
            Fault::Before => away(),
            Fault::After => {
                self.real.save(change).await?;
                away()
            }
        }
    }
    async fn find_key(
        &self,
        user: UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        self.real.find_key(user, key, now).await
    }
    async fn find(&self, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        self.real.find(id).await
    }
    async fn find_with_saga(&self, id: OrderId) -> Result<Option<(Order, Saga)>, RepositoryError> {
        match self.faults.next() {
            Fault::None => self.real.find_with_saga(id).await,
            Fault::Before | Fault::After => away(),
        }
    }
    async fn find_cause(&self, id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        self.real.find_cause(id).await
    }
    async fn claim_due(
        &self,
        now: Timestamp,
        owner: &str,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Order, Saga)>, RepositoryError> {
        self.real.claim_due(now, owner, lease_until, limit).await
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        self.real.next_due().await
    }
    async fn count_unfinished(&self) -> Result<Unfinished, RepositoryError> {
        self.real.count_unfinished().await
    }
    async fn release_leases_of_the_dead(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        self.real.release_leases_of_the_dead(now).await
    }
    async fn list(&self, filter: OrderFilter, limit: usize) -> Result<Vec<Order>, RepositoryError> {
        self.real.list(filter, limit).await
    }
    async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, RepositoryError> {
        self.real.timeline(id).await
    }
    async fn changed_since(&self, after: u64, limit: usize) -> Result<ChangedOrders, RepositoryError> {
        self.real.changed_since(after, limit).await
    }

    async fn forget_old_keys(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        self.real.forget_old_keys(now).await
    }
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![3 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)];
    prop::collection::vec(fault, 0..14)
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["card_ok", "card_declined", "card_timeout_captured"])
}

async fn checkouts(
    orders: Vec<(u32, &'static str, bool)>,
    in_store: Vec<Fault>,
    in_inventory: Vec<Fault>,
    in_payment: Vec<Fault>,
) {
    let folder = TempDir::new().unwrap();
    let real: Arc<dyn OrderRepository> = Arc::new(sqlite_repository(&folder));
    let store_faults = Arc::<Faults>::default();
    let seen = Arc::new(FaultyRepository { real: Arc::clone(&real), faults: Arc::clone(&store_faults) });
    let world = World::with_repository(folder, seen, real);
    store_faults.0.lock().unwrap().extend(in_store);
    world.inventory.faults.0.lock().unwrap().extend(in_inventory);
    world.payments.faults.0.lock().unwrap().extend(in_payment);

    let mut acknowledged = Vec::new();
    for (units, method, cancel) in orders {
        match world.ordering.place_order(request(units, method, None)).await {
            Ok(outcome) => {
                if outcome.decided {
                    acknowledged.push(outcome.order.id());
                }
                if cancel {
                    let _ = world.ordering.cancel_order(outcome.order.id(), "changed my mind".to_owned()).await;
                }
            }
            Err(OrderError::OutOfStock { .. } | OrderError::Declined { .. }) => {}
            Err(other) => panic!("no order was placed: {other:?}"),
        }
    }
    *world.payments.settled.lock().unwrap() = true;
    world.settle().await;

    let mut sold = 0;
    for order in world.repository.list(OrderFilter::default(), 100).await.unwrap() {
        let id = order.id();
        let (_, saga) = world.repository.find_with_saga(id).await.unwrap().unwrap();
        assert_eq!(saga.state(), SagaState::Done);
        let kept = world.payments.captured.lock().unwrap().contains(&id)
            && !world.payments.refunded.lock().unwrap().contains_key(&id);
        match order.status() {
            OrderStatus::Confirmed => {
                assert!(kept, "a confirmed order is paid");
                assert_eq!(world.inventory.state(id), Some(Held::Committed));
                sold += order.items().iter().map(|item| u64::from(item.quantity.get())).sum::<u64>();
            }
            OrderStatus::Cancelled | OrderStatus::Rejected => {
                assert!(!kept, "money is kept only for a confirmed order");
                assert!(matches!(world.inventory.state(id), None | Some(Held::Released)), "its goods are free");
            }
            other => panic!("{other:?} is no end"),
        }
        let versions: Vec<_> = world.ordering.timeline(id).await.unwrap().iter().map(|entry| entry.version).collect();
        assert_eq!(versions, (1..=order.version()).collect::<Vec<_>>(), "one event for each version");
    }
    assert_eq!(world.inventory.available(&sku("A")), STOCK - sold, "the stock adds up");
    for id in acknowledged {
        let known = world.repository.find(id).await.unwrap();
        assert!(known.is_some(), "an acknowledged order is never lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_every_order_ends_and_everything_adds_up(
        orders in prop::collection::vec((1_u32..6, method(), any::<bool>()), 1..5),
        in_store in faults(),
        in_inventory in faults(),
        in_payment in faults(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(checkouts(orders, in_store, in_inventory, in_payment));
    }
}
