//! How orders went in the last minute, as the events of the bus tell it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::Timestamp;
use contracts::event_data::{OrderData, OrderStatus};
use serde::{Deserialize, Serialize};

/// The window of counts and revenue, in seconds.
const WINDOW_S: i64 = 60;
/// The window of the rate: short, so that a dashboard shows what happens now.
const RATE_S: i64 = 10;

/// Sums of one second, of a window, or of all time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Orders that came to each status.
    pub orders: BTreeMap<String, u64>,
    /// What confirmed orders cost, by currency, in minor units.
    pub revenue: BTreeMap<String, i64>,
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.orders {
            *self.orders.entry(status.clone()).or_default() += count;
        }
        for (currency, amount) in &other.revenue {
            let sum = self.revenue.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
}

/// What one gateway knows of the orders, or several together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Orders placed in the last [`RATE_S`] seconds.
    pub placed_lately: u64,
    /// The last minute.
    pub minute: Sums,
    /// Since the gateway started.
    pub total: Sums,
}

impl Figures {
    /// Adds what another gateway knows: no event is known to two.
    pub fn add(&mut self, other: &Self) {
        self.placed_lately += other.placed_lately;
        self.minute.add(&other.minute);
        self.total.add(&other.total);
    }

    /// Orders placed in a second, of late.
    pub fn orders_per_second(&self) -> f64 {
        self.placed_lately as f64 / RATE_S as f64
    }
}

/// Counts the events of orders. An event that the bus delivers twice is counted twice.
#[derive(Default)]
pub struct Sales {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seconds: BTreeMap<i64, Sums>,
    total: Sums,
}

impl Sales {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order came to its present status at `time`.
    pub fn record(&self, order: &OrderData, time: Timestamp, now: Timestamp) {
        let mut sums = Sums::default();
        sums.orders.insert(order.status.as_str().to_owned(), 1);
        if order.status == OrderStatus::Confirmed {
            sums.revenue.insert(order.total.currency().as_str().to_owned(), order.total.amount_minor());
        }
        let second = second_of(time).min(second_of(now));
        let mut state = self.state();
        state.total.add(&sums);
        state.seconds.entry(second).or_default().add(&sums);
        let oldest = second_of(now) - WINDOW_S;
        state.seconds.retain(|second, _| *second > oldest);
    }

    /// The figures at this moment.
    pub fn figures(&self, now: Timestamp) -> Figures {
        let now = second_of(now);
        let state = self.state();
        let mut figures = Figures { total: state.total.clone(), ..Figures::default() };
        for (second, sums) in state.seconds.range(now - WINDOW_S + 1..) {
            figures.minute.add(sums);
            if *second > now - RATE_S {
                figures.placed_lately += sums.orders.get(OrderStatus::Pending.as_str()).copied().unwrap_or(0);
            }
        }
        figures
    }
}

fn second_of(time: Timestamp) -> i64 {
    time.unix_ms().div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contracts::Money;
    use contracts::ids::{OrderId, UserId};
    use contracts::money::Currency;
    use uuid::Uuid;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    fn order(status: OrderStatus, amount_minor: i64, currency: &str) -> OrderData {
        OrderData {
            id: OrderId::from_uuid(Uuid::nil()),
            user_id: UserId::from_uuid(Uuid::nil()),
            status,
            items: Vec::new(),
            total: Money::new(amount_minor, Currency::parse(currency).unwrap()).unwrap(),
            version: 1,
            created_at: START,
            updated_at: START,
            reason: None,
            shipping_address: None,
            note: None,
        }
    }

    #[test]
    fn a_minute_holds_what_happened_in_it_and_the_total_holds_all() {
        let sales = Sales::default();
        let at = |seconds| START.plus(Duration::from_secs(seconds));
        sales.record(&order(OrderStatus::Confirmed, 100, "USD"), at(0), at(0));
        for second in [30, 55, 59] {
            sales.record(&order(OrderStatus::Pending, 999, "USD"), at(second), at(second));
        }
        sales.record(&order(OrderStatus::Confirmed, 250, "USD"), at(58), at(59));
        sales.record(&order(OrderStatus::Confirmed, 7, "EUR"), at(59), at(59));
        sales.record(&order(OrderStatus::Cancelled, 50, "USD"), at(59), at(59));
        let figures = sales.figures(at(59));
        assert_eq!(figures.minute.orders, [("cancelled", 1), ("confirmed", 3), ("pending", 3)].map(named).into());
        assert_eq!(figures.minute.revenue, [("EUR", 7), ("USD", 350)].map(named).into());
        assert!((figures.orders_per_second() - 0.2).abs() < 1e-9, "two of the three are of the last ten seconds");

        let later = sales.figures(at(60));
        assert_eq!(later.minute.revenue["USD"], 250, "the first is a minute old");
        assert_eq!(later.total.revenue["USD"], 350);
        let much_later = sales.figures(at(1000));
        assert_eq!((much_later.minute, much_later.placed_lately), (Sums::default(), 0));
    }

    #[test]
    fn an_event_that_comes_late_counts_where_it_happened_and_one_from_the_future_now() {
        let sales = Sales::default();
        let now = START.plus(Duration::from_mins(5));
        sales.record(&order(OrderStatus::Confirmed, 1, "USD"), START, now);
        sales.record(&order(OrderStatus::Confirmed, 2, "USD"), now.plus(Duration::from_hours(1)), now);
        let figures = sales.figures(now);
        assert_eq!((figures.minute.revenue["USD"], figures.total.revenue["USD"]), (2, 3));
    }

    #[test]
    fn what_two_gateways_know_adds_up() {
        let (one, two) = (Sales::default(), Sales::default());
        one.record(&order(OrderStatus::Confirmed, 1, "USD"), START, START);
        two.record(&order(OrderStatus::Confirmed, 2, "EUR"), START, START);
        two.record(&order(OrderStatus::Pending, 2, "EUR"), START, START);
        let mut both = one.figures(START);
        both.add(&two.figures(START));
        assert_eq!(both.minute.orders, [("confirmed", 2), ("pending", 1)].map(named).into());
        assert_eq!((both.total.revenue, both.placed_lately), ([("EUR", 2), ("USD", 1)].map(named).into(), 1));
    }

    fn named<T>((name, value): (&str, T)) -> (String, T) {
        (name.to_owned(), value)
    }
}
