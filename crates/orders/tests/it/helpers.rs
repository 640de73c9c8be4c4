//! A world around the use cases: stock and cards that behave, or fail as they are told.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::event_data::OrderStatus;
use contracts::ids::{OrderId, RefundId, UserId, UuidV7Generator};
use contracts::money::Currency;
use contracts::timestamp::ManualClock;
use contracts::{Clock as _, Money, Quantity, Sku, Timestamp};
use orders::adapters::persistence::sqlite::SqliteOrderRepository;
use orders::application::Ordering;
use orders::application::place_order::PlaceOrder;
use orders::application::ports::{Charge, HoldError, Inventory, NeighbourError, OrderRepository, Payments, PinError};
use orders::domain::{MissingItem, Order, PricedProduct};
use sqlite::SqliteUrl;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Units of every product at the start.
pub(crate) const STOCK: u64 = 10;
/// The price of `A`.
pub(crate) const PRICE: i64 = 250;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// Nothing happened.
    Before,
    /// It happened, and nobody was told.
    After,
}

/// Faults to come, one for each call; none when they run out.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Mutex<std::collections::VecDeque<Fault>>);

impl Faults {
    pub(crate) fn next(&self) -> Fault {
        self.0.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }

    fn around<T>(&self, effect: impl FnOnce() -> T) -> Result<T, NeighbourError> {
        let away = || NeighbourError::Unavailable { service: "test", detail: "on purpose".to_owned() };
        match self.next() {
            Fault::None => Ok(effect()),
            Fault::Before => Err(away()),
            Fault::After => {
                effect();
                Err(away())
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Loosely,
    Pinned,
    Committed,
    Released,
}

type Reservations = HashMap<OrderId, (Held, Vec<(Sku, u64)>)>;

/// Stock of two products: `A`, and `FREE`, which costs nothing.
#[derive(Default)]
pub(crate) struct FakeInventory {
    pub(crate) faults: Arc<Faults>,
    pub(crate) reservations: Mutex<Reservations>,
}

impl FakeInventory {
    pub(crate) fn available(&self, sku: &Sku) -> u64 {
        let reservations = self.reservations.lock().unwrap();
        let taken = reservations.values().filter(|(held, _)| *held != Held::Released).flat_map(|(_, lines)| lines);
        STOCK - taken.filter(|(line, _)| line == sku).map(|(_, units)| units).sum::<u64>()
    }

    pub(crate) fn state(&self, id: OrderId) -> Option<Held> {
        self.reservations.lock().unwrap().get(&id).map(|(held, _)| *held)
    }

    fn set(&self, id: OrderId, to: Held) {
        self.reservations.lock().unwrap().entry(id).or_insert_with(|| (to, Vec::new())).0 = to;
    }
}

#[async_trait]
impl Inventory for FakeInventory {
    async fn price(&self, skus: &[Sku]) -> Result<Vec<PricedProduct>, NeighbourError> {
        let known = skus.iter().filter(|sku| ["A", "FREE"].contains(&sku.as_str()));
        let price = |sku: &Sku| Money::new(if sku.as_str() == "A" { PRICE } else { 0 }, Currency::USD).unwrap();
        Ok(known.map(|sku| PricedProduct { sku: sku.clone(), name: sku.to_string(), price: price(sku) }).collect())
    }

    async fn hold(&self, order: &Order) -> Result<(), HoldError> {
        self.faults.around(|| match self.state(order.id()) {
            Some(Held::Released) => Err(HoldError::Closed),
            Some(_) => Ok(()),
            None => {
                let lines: Vec<_> =
                    order.items().iter().map(|item| (item.sku.clone(), u64::from(item.quantity.get()))).collect();
                let missing: Vec<_> = lines
                    .iter()
                    .filter(|(sku, units)| *units > self.available(sku))
                    .map(|(sku, units)| MissingItem {
                        sku: sku.clone(),
                        requested: *units,
                        available: self.available(sku),
                    })
                    .collect();
                if !missing.is_empty() {
                    return Err(HoldError::OutOfStock(missing));
                }
                self.reservations.lock().unwrap().insert(order.id(), (Held::Loosely, lines));
                Ok(())
            }
        })?
    }

    async fn pin(&self, order_id: OrderId) -> Result<(), PinError> {
        Ok(self.faults.around(|| {
            if self.state(order_id) == Some(Held::Loosely) {
                self.set(order_id, Held::Pinned);
            }
        })?)
    }

    async fn commit(&self, order: &Order) -> Result<(), NeighbourError> {
        let order_id = order.id();
        self.faults.around(|| {
            assert!(matches!(self.state(order_id), Some(Held::Pinned | Held::Committed)), "committed without a pin");
            self.set(order_id, Held::Committed);
        })
    }

    async fn give_back(&self, order_id: OrderId) -> Result<(), NeighbourError> {
        self.faults.around(|| self.set(order_id, Held::Released))
    }
}

/// Cards: `card_ok`, `card_declined`, and `card_timeout_captured`, whose outcome stays unknown until it is settled.
#[derive(Default)]
pub(crate) struct FakePayments {
    pub(crate) faults: Arc<Faults>,
    pub(crate) captured: Mutex<HashSet<OrderId>>,
    pub(crate) refunded: Mutex<HashMap<OrderId, RefundId>>,
    pub(crate) settled: Mutex<bool>,
}

#[async_trait]
impl Payments for FakePayments {
    async fn charge(&self, order: &Order, method: &str) -> Result<Charge, NeighbourError> {
        self.faults.around(|| match method {
            "card_declined" => Charge::Declined { reason: "the card was declined".to_owned() },
            "card_timeout_captured" if !*self.settled.lock().unwrap() => Charge::Unknown,
            _ => {
                self.captured.lock().unwrap().insert(order.id());
                Charge::Captured
            }
        })
    }

    async fn refund(&self, order_id: OrderId, refund_id: RefundId, _: Money, _: &str) -> Result<(), NeighbourError> {
        self.faults.around(|| {
            assert!(self.captured.lock().unwrap().contains(&order_id), "refunded what was never captured");
            let refund = *self.refunded.lock().unwrap().entry(order_id).or_insert(refund_id);
            assert_eq!(refund, refund_id, "refunded twice");
        })
    }
}

pub(crate) struct World {
    pub(crate) ordering: Ordering,
    pub(crate) inventory: Arc<FakeInventory>,
    pub(crate) payments: Arc<FakePayments>,
    pub(crate) repository: Arc<dyn OrderRepository>,
    pub(crate) clock: ManualClock,
    _folder: TempDir,
}

pub(crate) fn start_of_time() -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000)
}

pub(crate) fn sqlite_repository(folder: &TempDir) -> SqliteOrderRepository {
    let url = SqliteUrl::of(folder.path().join("orders.db"));
    SqliteOrderRepository::open(&url, Arc::new(UuidV7Generator)).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let repository: Arc<dyn OrderRepository> = Arc::new(sqlite_repository(&folder));
        Self::with_repository(folder, Arc::clone(&repository), repository)
    }

    /// `seen` is what the use cases write through, `real` what is really stored.
    pub(crate) fn with_repository(
        folder: TempDir,
        seen: Arc<dyn OrderRepository>,
        real: Arc<dyn OrderRepository>,
    ) -> Self {
        let (inventory, payments) = (Arc::<FakeInventory>::default(), Arc::<FakePayments>::default());
        let clock = ManualClock::starting_at(start_of_time());
        let ordering = Ordering {
            repository: seen,
            inventory: Arc::clone(&inventory) as Arc<dyn Inventory>,
            payments: Arc::clone(&payments) as Arc<dyn Payments>,
            clock: Arc::new(clock.clone()),
            ids: Arc::new(UuidV7Generator),
            instance: "test".into(),
            running: TaskTracker::new(),
            due: Arc::new(Notify::new()),
        };
        Self { ordering, inventory, payments, repository: real, clock, _folder: folder }
    }

    /// Lets time pass and takes up whatever is due, until nothing is owed to any order.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            self.idle().await;
            let Some(due) = self.repository.next_due().await.unwrap() else { return };
            self.clock.advance(due.since(self.clock.now()) + Duration::from_millis(1));
            // A store that fails now is tried again in the next round.
            if let Ok(runs) = self.ordering.take_up_due().await {
                futures::future::join_all(runs).await;
            }
        }
        panic!("something is owed to an order for ever");
    }

    /// Waits until no saga runs.
    pub(crate) async fn idle(&self) {
        while !self.ordering.running.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn status(&self, id: OrderId) -> OrderStatus {
        self.repository.find(id).await.unwrap().unwrap().status()
    }
}

pub(crate) fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

pub(crate) fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn request(units: u32, method: &str, key: Option<&str>) -> PlaceOrder {
    PlaceOrder {
        user_id: user(1),
        items: vec![(sku("A"), Quantity::try_from(units).unwrap())],
        payment_method: method.to_owned(),
        shipping_address: None,
        note: None,
        idempotency_key: key.map(str::to_owned),
    }
}
