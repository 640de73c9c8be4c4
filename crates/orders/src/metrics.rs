//! What the business looks like in numbers. Nothing here decides anything.
//!
//! Every change of an order is counted once, when the store confirmed it; repeated requests and outrun writes count nothing.
//! A write whose answer was lost is counted when the saga reads that it happened. What stays uncounted is a write whose
//! answer was lost together with the process, or whose saga another instance took over before that.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use contracts::Money;
use contracts::event_data::OrderStatus;
use contracts::money::Currency;
use observability::metrics::{self, Summary};
use prometheus::{Gauge, HistogramVec, IntCounterVec, IntGauge, Opts};

use crate::domain::SagaState;

/// How far back the quantiles of order values look.
const VALUE_WINDOW: Duration = Duration::from_mins(10);
/// Cents of a dollar (ISO 4217: the exponent of USD is 2).
const CENTS: f64 = 100.0;

static ORDERS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counter("orders_total", "Orders that reached a status.", &["status"]));
static VALUE: LazyLock<Summary> = LazyLock::new(|| {
    let help = "Totals of confirmed orders in US dollars; orders in other currencies are left out.";
    Summary::register("order_value_dollars", help, &[0.5, 0.9, 0.99], VALUE_WINDOW)
});
static CHECKOUTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram("checkout_duration_seconds", "Time to answer a request that places an order.", &["outcome"])
});
static STEPS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time of one step of the checkout saga, with what it calls and writes.";
    metrics::histogram("saga_step_duration_seconds", help, &["step", "outcome"])
});
static UNFINISHED: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge("sagas_unfinished", "Checkouts and refunds that are not done.", &[]).with_label_values::<&str>(&[])
});
static OLDEST: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "Time since the oldest order was placed that waits for its checkout; 0 when none does.";
    prometheus::register_gauge!(Opts::new("saga_oldest_unfinished_age_seconds", help))
        .unwrap_or_else(|error| panic!("metric: {error}"))
});

const STATUSES: [OrderStatus; 7] = [
    OrderStatus::Pending,
    OrderStatus::Confirmed,
    OrderStatus::Rejected,
    OrderStatus::Cancelled,
    OrderStatus::Shipped,
    OrderStatus::Delivered,
    OrderStatus::Refunded,
];

/// Makes the series known at 0, so that the first order is a rise and not a series that comes from nowhere.
pub fn announce() {
    for status in STATUSES {
        ORDERS.with_label_values(&[status.as_str()]);
    }
    for outcome in CheckoutOutcome::ALL {
        CHECKOUTS.with_label_values(&[outcome.as_str()]);
    }
    LazyLock::force(&VALUE);
    LazyLock::force(&UNFINISHED);
    LazyLock::force(&OLDEST);
}

/// The store has an order in this status that it did not have before.
pub(crate) fn count_order(status: OrderStatus) {
    metrics::count(&ORDERS, &[status.as_str()]);
}

/// The same for an order that was just confirmed.
///
/// Only amounts in US dollars are observed: others would need a rate, and nobody here knows one.
pub(crate) fn observe_value(total: Money) {
    if total.currency() == Currency::USD {
        VALUE.observe(total.amount_minor() as f64 / CENTS);
    }
}

/// What the caller of a checkout was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckoutOutcome {
    /// The order is confirmed.
    Confirmed,
    /// There is too little stock, or the customer cancelled it meanwhile.
    Rejected,
    /// The card was declined.
    Declined,
    /// It goes on without the caller: 202.
    Undecided,
    /// It could not be done now: 5xx.
    Failed,
}

impl CheckoutOutcome {
    const ALL: [Self; 5] = [Self::Confirmed, Self::Rejected, Self::Declined, Self::Undecided, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Declined => "declined",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        }
    }
}

/// A checkout was answered that began at this moment.
pub(crate) fn observe_checkout(outcome: CheckoutOutcome, started: Instant) {
    metrics::observe(&CHECKOUTS, &[outcome.as_str()], started.elapsed());
}

/// How a step of a saga ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// It did what it is for.
    Done,
    /// The answer was no: too little stock, a declined card, a customer who cancelled.
    Refused,
    /// It is tried again later.
    Failed,
}

/// A step ended that began at this moment, in this state.
pub(crate) fn observe_step(state: SagaState, outcome: StepOutcome, started: Instant) {
    if state == SagaState::Done {
        return;
    }
    let outcome = match outcome {
        StepOutcome::Done => "done",
        StepOutcome::Refused => "refused",
        StepOutcome::Failed => "failed",
    };
    metrics::observe(&STEPS, &[state.step(), outcome], started.elapsed());
}

/// What is not done, as the store has it.
pub(crate) fn set_unfinished(count: u64, oldest_age: Option<Duration>) {
    UNFINISHED.set(count as i64);
    OLDEST.set(oldest_age.map_or(0.0, |age| age.as_secs_f64()));
}
