//! A store forgot its last changes, and is told by orders what it forgot: the same for every store.

use std::sync::Arc;
use std::time::Duration;

use contracts::Sku;
use contracts::ids::{OrderId, UuidV7Generator};
use contracts::timestamp::ManualClock;
use inventory::adapters::persistence::memory::InMemoryStore;
use inventory::application::Inventory;
use inventory::application::ports::ChangeError;
use inventory::application::recover::Recovery;
use inventory::domain::claim::Claim;
use inventory::domain::error::ReservationError;
use inventory::domain::reservation::{ReservationCommand, Status};
use inventory::domain::stock::MovementKind;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::contract::{Stores, in_memory};
use crate::helpers::{START, lines, order};
use crate::orders_stub::OrdersStub;

const SKUS: [&str; 3] = ["A", "B", "C"];
const STOCK: u64 = 12;
const TTL: Duration = Duration::from_hours(1);

/// How far an order is. What its saga asked of the inventory is acknowledged up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Placed,
    Held,
    /// Answered, and not written down by orders.
    Pinned,
    Charging,
    Confirmed,
    Committed,
    Cancelled,
    Returned,
    Declined,
    Released,
    Rejected,
}

#[derive(Clone, Debug)]
struct AnOrder {
    id: OrderId,
    items: Vec<(&'static str, u32)>,
    stage: Stage,
}

impl AnOrder {
    fn claim(&self) -> Option<Claim> {
        match self.stage {
            Stage::Placed | Stage::Held | Stage::Pinned => None,
            Stage::Charging => Some(Claim::Promised),
            Stage::Confirmed | Stage::Committed => Some(Claim::Sold),
            Stage::Cancelled | Stage::Returned | Stage::Declined | Stage::Released | Stage::Rejected => {
                Some(Claim::Free)
            }
        }
    }
}

/// What was asked of the inventory, in order.
type Asked = Vec<(OrderId, ReservationCommand)>;

/// The orders service, its sagas, and an inventory that forgets nothing.
struct Truth {
    orders: Vec<AnOrder>,
    stub: OrdersStub,
    stores: Stores,
    asked: Asked,
}

impl Truth {
    async fn ask(&mut self, at: usize, command: ReservationCommand) -> Result<(), ReservationError> {
        let id = self.orders[at].id;
        self.asked.push((id, command.clone()));
        self.stores.ask_for(id, command).await.map(drop)
    }

    /// Takes an order one step further; `well` says which way it goes where there are two.
    async fn step(&mut self, at: usize, well: bool) {
        use ReservationCommand::{Commit, Pin, Release, Return};
        let order = self.orders[at].clone();
        let next = match order.stage {
            Stage::Placed => {
                let hold = ReservationCommand::Hold { lines: lines(&order.items), expires_at: START.plus(TTL) };
                match self.ask(at, hold).await {
                    Ok(()) => Stage::Held,
                    Err(ReservationError::OutOfStock { .. }) => Stage::Rejected,
                    Err(other) => panic!("{other:?}"),
                }
            }
            Stage::Held => self.ask(at, Pin).await.map(|()| Stage::Pinned).unwrap(),
            Stage::Pinned => Stage::Charging,
            Stage::Charging if well => Stage::Confirmed,
            Stage::Charging => Stage::Declined,
            Stage::Confirmed => self.ask(at, Commit).await.map(|()| Stage::Committed).unwrap(),
            Stage::Declined => self.ask(at, Release).await.map(|()| Stage::Released).unwrap(),
            Stage::Committed if !well => Stage::Cancelled,
            Stage::Cancelled => self.ask(at, Return).await.map(|()| Stage::Returned).unwrap(),
            Stage::Committed | Stage::Returned | Stage::Released | Stage::Rejected => return,
        };
        self.orders[at].stage = next;
        let claim = self.orders[at].claim();
        match next {
            Stage::Confirmed | Stage::Declined | Stage::Cancelled | Stage::Rejected => {
                self.stub.event(order.id, claim, &order.items);
            }
            _ => self.stub.quietly(order.id, claim),
        }
    }
}

/// Orders by their items; who steps next and how; and how much is left of what was asked.
type History = (Vec<Vec<(usize, u32)>>, Vec<(usize, bool)>, f64);

fn any_history() -> impl Strategy<Value = History> {
    let items = proptest::collection::vec((0..SKUS.len(), 1..4_u32), 1..3);
    let orders = proptest::collection::vec(items, 1..10);
    (orders, proptest::collection::vec((0..10_usize, proptest::bool::weighted(0.7)), 1..70), 0.0..=1.0)
}

async fn is_what_orders_say(truth: &Truth, stores: &Stores) {
    let mut expected: Vec<(u64, u64)> = vec![(STOCK, 0); SKUS.len()];
    for order in &truth.orders {
        let found = stores.reservations.find(order.id).await.unwrap().map(|found| found.status());
        match (order.claim(), found) {
            (None, _)
            | (Some(Claim::Free), None | Some(Status::Released(_) | Status::Returned))
            | (Some(Claim::Promised), Some(Status::Pinned))
            | (Some(Claim::Sold), Some(Status::Committed)) => {}
            other => panic!("{order:?}: {other:?}"),
        }
        for line in lines(&order.items).as_slice() {
            let stock = &mut expected[SKUS.iter().position(|sku| *sku == line.sku.as_str()).unwrap()];
            match found {
                Some(Status::Held { .. } | Status::Pinned) => stock.1 += u64::from(line.quantity.get()),
                Some(Status::Committed) => stock.0 -= u64::from(line.quantity.get()),
                _ => {}
            }
        }
    }
    for (sku, expected) in SKUS.iter().zip(expected) {
        assert_eq!(stores.stock(sku).await, expected, "{sku}");
    }
}

/// Runs a history, forgets its end, restores it, and lets every saga go on to its end.
async fn restored(fresh: impl Fn() -> Stores, (orders, steps, remembered): History) {
    let mut truth = Truth { orders: Vec::new(), stub: OrdersStub::default(), stores: in_memory(), asked: Vec::new() };
    let stores = fresh();
    for sku in SKUS {
        truth.stores.add(sku, sku, STOCK, &[]).await;
        stores.add(sku, sku, STOCK, &[]).await;
    }
    for (n, items) in orders.into_iter().enumerate() {
        let items: Vec<_> = items.into_iter().map(|(sku, units)| (SKUS[sku], units)).collect();
        let placed = AnOrder { id: order(n as u128), items, stage: Stage::Placed };
        truth.stub.event(placed.id, None, &placed.items);
        truth.orders.push(placed);
    }
    for (at, well) in steps {
        let at = at % truth.orders.len();
        truth.step(at, well).await;
    }
    // A store forgets whole changes, and the last ones: what is left is a beginning of what it was asked.
    let left = (truth.asked.len() as f64 * remembered) as usize;
    for (id, command) in truth.asked.iter().take(left) {
        let _ = stores.ask_for(*id, command.clone()).await;
    }

    let clock = Arc::new(ManualClock::starting_at(START));
    let recovery =
        || Recovery::new(Arc::new(truth.stub.clone()), Arc::clone(&stores.reservations), Arc::clone(&clock) as _);
    // Two instances at once, and once more for one that was interrupted.
    let (one, other) = (recovery(), recovery());
    let (one, other) = tokio::join!(one.recover(0), other.recover(0));
    assert_eq!((one.unwrap(), other.unwrap()), (truth.orders.len(), truth.orders.len()));
    is_what_orders_say(&truth, &stores).await;
    let versions = async || {
        let mut versions = Vec::new();
        for order in &truth.orders {
            versions.push(stores.reservations.find(order.id).await.unwrap());
        }
        versions
    };
    let before = versions().await;
    recovery().recover(0).await.unwrap();
    assert_eq!(versions().await, before, "restoring again changes nothing");

    let inventory =
        Inventory::new(Arc::clone(&stores.catalogue), Arc::clone(&stores.reservations), Arc::clone(&clock) as _);
    for order in &mut truth.orders {
        let bought = lines(&order.items);
        order.stage = match order.stage {
            Stage::Placed | Stage::Held | Stage::Pinned => match inventory.hold(order.id, bought.clone(), TTL).await {
                Ok(_) => {
                    inventory.pin(order.id).await.unwrap();
                    inventory.commit(order.id, Some(bought)).await.unwrap();
                    Stage::Committed
                }
                // A hold that was forgotten may go to another: nobody was charged yet.
                Err(ChangeError::Refused(ReservationError::OutOfStock { .. })) => Stage::Rejected,
                Err(other) => panic!("{other:?}"),
            },
            Stage::Charging | Stage::Confirmed => {
                inventory.commit(order.id, Some(bought)).await.unwrap();
                Stage::Committed
            }
            Stage::Declined => {
                inventory.release(order.id).await.unwrap();
                Stage::Released
            }
            Stage::Cancelled => {
                // As orders does: what can't be released comes back.
                if inventory.release(order.id).await.is_err() {
                    inventory.return_goods(order.id).await.unwrap();
                }
                Stage::Returned
            }
            ended => ended,
        };
    }
    is_what_orders_say(&truth, &stores).await;
}

fn check_histories(cases: u32, fresh: impl Fn() -> Stores + Copy) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&any_history(), |history| {
            runtime.block_on(restored(fresh, history));
            Ok(())
        })
        .unwrap();
}

#[test]
fn histories_cut_anywhere_are_restored_in_memory() {
    check_histories(300, in_memory);
}

#[cfg(feature = "redis")]
#[test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
fn histories_cut_anywhere_are_restored_in_redis() {
    check_histories(40, crate::contract::redis_with_own_prefix);
}

#[tokio::test]
async fn what_is_sold_and_not_there_is_said_and_never_makes_stock_negative() {
    let store = InMemoryStore::new(Arc::new(UuidV7Generator));
    let stores = Stores::of_memory(&store);
    // Seven more had come in, and the store forgot.
    stores.add("A", "A", 3, &[]).await;
    let stub = OrdersStub::default();
    for (n, claim) in [(1, Claim::Promised), (2, Claim::Sold), (3, Claim::Sold)] {
        stub.event(order(n), Some(claim), &[("A", 2)]);
    }
    // What the catalogue does not have is sold all the same.
    stub.event(order(4), Some(Claim::Sold), &[("GONE", 1)]);
    let clock = Arc::new(ManualClock::starting_at(START));
    let recovery = Recovery::new(Arc::new(stub), Arc::new(store.clone()), clock);
    for _ in 0..2 {
        assert_eq!(recovery.recover(0).await.unwrap(), 4);
        assert_eq!(stores.stock("A").await, (0, 0));
        for n in [2, 3, 4] {
            let found = stores.reservations.find(order(n)).await.unwrap().unwrap();
            assert_eq!(found.status(), Status::Committed);
        }
        assert_eq!(stores.reservations.find(order(1)).await.unwrap(), None, "nothing is left to be promised");
    }
    let sku = |text: &str| text.parse::<Sku>().unwrap();
    let (counted, sold) = (MovementKind::Counted, MovementKind::Committed);
    let expected = [
        (sku("A"), counted, 3),
        (sku("A"), sold, -2),
        (sku("A"), counted, 1),
        (sku("A"), sold, -2),
        (sku("GONE"), counted, 1),
        (sku("GONE"), sold, -1),
    ];
    assert_eq!(store.ledger().len(), expected.len());
    assert!(expected.iter().all(|entry| store.ledger().contains(entry)), "{:?}", store.ledger());
    // Should the order be confirmed all the same, it is sold like the others.
    let clock = Arc::new(ManualClock::starting_at(START));
    let inventory = Inventory::new(Arc::new(store.clone()), Arc::new(store.clone()), clock);
    let not_found = inventory.commit(order(1), None).await;
    assert!(matches!(not_found, Err(ChangeError::Refused(ReservationError::NotFound(_)))));
    assert_eq!(inventory.commit(order(1), Some(lines(&[("A", 2)]))).await.unwrap().status(), Status::Committed);
    assert_eq!(stores.stock("A").await, (0, 0));
}
