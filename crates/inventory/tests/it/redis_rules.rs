//! The rules of the domain hold for the store: random histories lead the same way in Redis and in a model that only saves
//! what the domain decides.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::Timestamp;
use contracts::ids::OrderId;
use inventory::adapters::persistence::redis::RedisStore;
use inventory::application::ports::{CatalogueRepository as _, ChangeError, ReservationRepository as _};
use inventory::domain::error::{CatalogueError, ReservationError};
use inventory::domain::product::ProductCommand;
use inventory::domain::reservation::{Reservation, ReservationCommand};
use inventory::domain::stock::{EffectError, ShelfLine, Stock, apply};
use inventory::domain::values::Count;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::helpers::{START, order};
use crate::redis::{Prefix, add, sku};

const SKUS: [&str; 3] = ["A", "B", "C"];

#[derive(Clone, Debug)]
enum Step {
    Hold(u128, Vec<(usize, u32)>, u64),
    Ask(u128, ReservationCommand),
    Count(usize, u64),
    Wait(u64),
    Sweep,
}

fn any_step() -> impl Strategy<Value = Step> {
    use ReservationCommand::{Commit, Pin, Release, Return};
    let items = proptest::collection::vec((0..SKUS.len(), 1..6_u32), 1..4);
    let asked = prop_oneof![3 => Just(Pin), 3 => Just(Commit), 1 => Just(Release), 1 => Just(Return)];
    prop_oneof![
        6 => (0..4_u128, items, 1..30_u64).prop_map(|(n, items, ttl)| Step::Hold(n, items, ttl)),
        10 => (0..4_u128, asked).prop_map(|(n, command)| Step::Ask(n, command)),
        2 => (0..2_usize, 0..15_u64).prop_map(|(index, units)| Step::Count(index, units)),
        2 => (0..20_u64).prop_map(Step::Wait),
        2 => Just(Step::Sweep),
    ]
}

struct Model {
    now: Timestamp,
    stock: BTreeMap<&'static str, Stock>,
    reservations: BTreeMap<OrderId, Reservation>,
}

impl Model {
    fn ask(&mut self, id: OrderId, command: ReservationCommand) -> Result<Reservation, ReservationError> {
        let current = self.reservations.get(&id).cloned();
        let decided = Reservation::decide(id, current, command, self.now)?;
        if let Some(effect) = decided.change.and_then(|change| change.effect) {
            let stock = |text: &str| self.stock.get(text).copied();
            let lines = decided.reservation.lines().iter();
            let mut shelf: Vec<_> =
                lines.map(|line| ShelfLine { line: line.clone(), stock: stock(line.sku.as_str()) }).collect();
            apply(effect, &mut shelf).map_err(|error| match error {
                EffectError::Short(missing) => ReservationError::OutOfStock { order_id: id, missing },
                EffectError::Mismatch(sku) => panic!("{sku}"),
            })?;
            for ShelfLine { line, stock } in shelf {
                let name = SKUS.iter().find(|name| **name == line.sku.as_str()).unwrap();
                self.stock.insert(name, stock.unwrap());
            }
        }
        if decided.change.is_some() {
            self.reservations.insert(id, decided.reservation.clone());
        }
        Ok(decided.reservation)
    }

    fn sweep(&mut self) -> usize {
        let over: Vec<_> = self.reservations.values().filter_map(|found| found.clone().expire(self.now)).collect();
        for expired in &over {
            for line in expired.reservation.lines() {
                let stock = self.stock.values_mut().zip(SKUS).find(|(_, name)| *name == line.sku.as_str()).unwrap().0;
                *stock =
                    Stock::from_stored(stock.on_hand(), stock.reserved() - u64::from(line.quantity.get())).unwrap();
            }
            self.reservations.insert(expired.reservation.order_id(), expired.reservation.clone());
        }
        over.len()
    }
}

async fn step(store: &RedisStore, model: &mut Model, step: Step) {
    match step {
        Step::Hold(n, items, ttl) => {
            let items: Vec<_> = items.into_iter().map(|(index, units)| (SKUS[index], units)).collect();
            let ReservationCommand::Hold { lines, .. } = crate::redis::hold(&items) else { unreachable!() };
            let expires_at = model.now.plus(Duration::from_millis(ttl));
            ask(store, model, n, ReservationCommand::Hold { lines, expires_at }).await;
        }
        Step::Ask(n, command) => ask(store, model, n, command).await,
        Step::Count(index, units) => {
            let count = Count::new(units).unwrap();
            let allowed = model.stock.get_mut(SKUS[index]).unwrap().count(count);
            let command = ProductCommand::SetStock { on_hand: count, reason: "count".to_owned() };
            match store.catalogue.change(sku(SKUS[index]), command, model.now).await {
                Ok(product) => assert!(allowed.is_ok() && product.stock().on_hand() == units),
                Err(ChangeError::Refused(CatalogueError::StockBelowReserved { .. })) => assert!(allowed.is_err()),
                Err(other) => panic!("{other:?}"),
            }
        }
        Step::Wait(ms) => model.now = model.now.plus(Duration::from_millis(ms)),
        Step::Sweep => {
            assert_eq!(store.reservations.release_expired(model.now, 100).await.unwrap(), model.sweep());
        }
    }
}

async fn ask(store: &RedisStore, model: &mut Model, n: u128, command: ReservationCommand) {
    let expected = model.ask(order(n), command.clone());
    let answered = store.reservations.apply(order(n), command.clone(), model.now).await;
    let answered = answered.map_err(|error| match error {
        ChangeError::Refused(refused) => refused,
        ChangeError::Store(error) => panic!("{error:?}"),
    });
    assert_eq!(answered, expected, "{command:?}");
}

async fn check(store: &RedisStore, model: &Model) {
    for (text, stock) in &model.stock {
        assert_eq!(store.catalogue.find(sku(text)).await.unwrap().unwrap().stock(), *stock, "{text}");
    }
    for n in 0..4 {
        let found = store.reservations.find(order(n)).await.unwrap();
        assert_eq!(found.as_ref(), model.reservations.get(&order(n)));
    }
    let findings = store.audit.audit().await.unwrap();
    assert!(findings.is_clean() && findings.in_use.is_empty(), "{findings:?}");
}

#[test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
fn random_histories_lead_where_the_domain_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let histories = proptest::collection::vec(any_step(), 1..80);
    runner
        .run(&histories, |steps| {
            runtime.block_on(async {
                let prefix = Prefix::new();
                let store = prefix.open();
                let stock = SKUS[..2].iter().map(|text| (*text, Stock::from_stored(10, 0).unwrap())).collect();
                let mut model = Model { now: START, stock, reservations: BTreeMap::new() };
                for text in &SKUS[..2] {
                    add(&store, text, 10).await;
                }
                for next in steps {
                    step(&store, &mut model, next).await;
                }
                check(&store, &model).await;
            });
            Ok(())
        })
        .unwrap();
}
