//! Properties over random histories: whatever is asked in whatever order, nothing is oversold and stock adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::ids::OrderId;
use contracts::{Quantity, Sku, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::lines::{Line, Lines};
use super::reservation::{Change, Reservation, ReservationCommand, Status};
use super::stock::{MovementKind, ShelfLine, Stock, apply};
use super::values::Count;

const ORDERS: u128 = 4;
const SKUS: [&str; 3] = ["A", "B", "C"];

#[derive(Clone, Debug)]
enum Step {
    Ask(u128, Ask),
    Count(usize, u64),
    Wait(u64),
    Sweep,
}

#[derive(Clone, Debug)]
enum Ask {
    Hold(Vec<(usize, u32)>, u64),
    Pin,
    Commit,
    Release,
    Return,
}

fn any_step() -> impl Strategy<Value = Step> {
    let items = proptest::collection::vec((0..SKUS.len(), 1..6_u32), 1..4);
    let ask = prop_oneof![
        4 => (items, 1..30_u64).prop_map(|(items, ttl)| Ask::Hold(items, ttl)),
        3 => Just(Ask::Pin),
        3 => Just(Ask::Commit),
        1 => Just(Ask::Release),
        1 => Just(Ask::Return),
    ];
    prop_oneof![
        12 => (0..ORDERS, ask).prop_map(|(order, ask)| Step::Ask(order, ask)),
        2 => (0..SKUS.len(), 0..15_u64).prop_map(|(sku, units)| Step::Count(sku, units)),
        1 => (0..20_u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

/// A store in the simplest form: saves what the domain decides, as every adapter must.
#[derive(Default)]
struct Model {
    now: Timestamp,
    stock: BTreeMap<Sku, Stock>,
    reservations: BTreeMap<OrderId, Reservation>,
    ledger: Vec<(Sku, MovementKind, i64)>,
}

fn sku(index: usize) -> Sku {
    SKUS[index].parse().unwrap()
}

fn order(n: u128) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(n))
}

impl Model {
    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(order_id, ask) => self.ask(order(order_id), ask),
            Step::Count(index, units) => {
                let stock = self.stock.entry(sku(index)).or_default();
                if let Ok(difference) = stock.count(Count::new(units).unwrap()) {
                    self.ledger.push((sku(index), MovementKind::Counted, difference));
                }
            }
            Step::Wait(ms) => self.now = self.now.plus(Duration::from_millis(ms)),
            Step::Sweep => {
                for reservation in self.reservations.clone().into_values() {
                    if let Some(expired) = reservation.expire(self.now) {
                        self.save(expired.reservation, expired.change.unwrap());
                    }
                }
            }
        }
    }

    fn ask(&mut self, order_id: OrderId, ask: Ask) {
        let command = match ask {
            Ask::Hold(items, ttl) => {
                let items = items
                    .into_iter()
                    .map(|(index, units)| Line { sku: sku(index), quantity: Quantity::try_from(units).unwrap() });
                let lines = Lines::new(items).unwrap();
                ReservationCommand::Hold { lines, expires_at: self.now.plus(Duration::from_millis(ttl)) }
            }
            Ask::Pin => ReservationCommand::Pin,
            Ask::Commit => ReservationCommand::Commit,
            Ask::Release => ReservationCommand::Release,
            Ask::Return => ReservationCommand::Return,
        };
        let current = self.reservations.get(&order_id).cloned();
        let Ok(decided) = Reservation::decide(order_id, current, command.clone(), self.now) else { return };
        let Some(change) = decided.change else { return };
        if !self.save(decided.reservation, change) {
            return;
        }
        let saved = self.reservations[&order_id].clone();
        let again = Reservation::decide(order_id, Some(saved), command, self.now).expect("a repetition succeeds");
        assert_eq!(again.change, None, "a repetition changes nothing");
    }

    fn save(&mut self, reservation: Reservation, change: Change) -> bool {
        if let Some(effect) = change.effect {
            let mut shelf: Vec<ShelfLine> = reservation
                .lines()
                .iter()
                .map(|line| ShelfLine { line: line.clone(), stock: self.stock.get(&line.sku).copied() })
                .collect();
            if apply(effect, &mut shelf).is_err() {
                return false;
            }
            for ShelfLine { line, stock } in shelf {
                if let Some((kind, quantity)) = effect.movement(&line) {
                    self.ledger.push((line.sku.clone(), kind, quantity));
                }
                self.stock.insert(line.sku, stock.unwrap());
            }
        }
        self.reservations.insert(reservation.order_id(), reservation);
        true
    }

    fn units(&self, sku: &Sku, wanted: fn(Status) -> bool) -> u64 {
        let reservations = self.reservations.values().filter(|reservation| wanted(reservation.status()));
        let lines = reservations.flat_map(Reservation::lines).filter(|line| line.sku == *sku);
        lines.map(|line| u64::from(line.quantity.get())).sum()
    }

    fn check(&self) {
        for (sku, stock) in &self.stock {
            let moved = |wanted: MovementKind| -> i64 {
                let entries = self.ledger.iter().filter(|(of, kind, _)| of == sku && *kind == wanted);
                entries.map(|(_, _, quantity)| quantity).sum()
            };
            assert!(stock.reserved() <= stock.on_hand(), "{sku} is oversold: {stock:?}");
            assert_eq!(
                stock.reserved(),
                self.units(sku, |status| matches!(status, Status::Held { .. } | Status::Pinned)),
                "what is reserved of {sku} is what held and pinned orders have"
            );
            assert_eq!(
                moved(MovementKind::Counted) + moved(MovementKind::Returned),
                stock.on_hand() as i64 - moved(MovementKind::Committed),
                "the stock of {sku} adds up"
            );
            assert_eq!(
                -moved(MovementKind::Committed),
                self.units(sku, |status| matches!(status, Status::Committed | Status::Returned)) as i64,
                "what left the shelf is what orders got of {sku}"
            );
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_oversold_and_stock_adds_up(steps in proptest::collection::vec(any_step(), 1..120)) {
        let mut model = Model::default();
        for index in 0..SKUS.len() - 1 {
            model.step(Step::Count(index, 10));
        }
        for step in steps {
            model.step(step);
            model.check();
        }
    }

    #[test]
    fn what_is_pinned_never_expires(waits in proptest::collection::vec(0..50_u64, 1..20)) {
        let mut model = Model::default();
        model.step(Step::Count(0, 10));
        model.step(Step::Ask(1, Ask::Hold(vec![(0, 3)], 10)));
        model.step(Step::Ask(1, Ask::Pin));
        for wait in waits {
            model.step(Step::Wait(wait));
            model.step(Step::Sweep);
        }
        model.step(Step::Ask(1, Ask::Commit));
        prop_assert_eq!(model.reservations[&order(1)].status(), Status::Committed);
        model.check();
    }
}
