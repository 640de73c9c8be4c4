//! One pure function for each invariant of ARCHITECTURE.md: facts in, at most one finding out.

mod goods;
mod messages;
mod money;
mod progress;
#[cfg(test)]
mod tests;

use std::time::Duration;

use contracts::Timestamp;
use orders::application::audit::OrderFacts;

use super::case::Case;
use super::{Finding, Severity, Subject};

pub use goods::of_stock;
pub use messages::{of_inbox, of_outbox, of_queue};

/// What counts as young, and as stuck.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The moment of the audit.
    pub now: Timestamp,
    /// What changed less than this ago is in progress.
    pub grace: Duration,
    /// What is under way for longer than this is stuck.
    pub stuck: Duration,
}

impl Limits {
    /// Whether that was a moment ago. The future counts as such.
    pub fn is_young(&self, moment: Timestamp) -> bool {
        moment.plus(self.grace) > self.now
    }

    /// Whether that was too long ago.
    fn is_stuck(&self, moment: Timestamp) -> bool {
        moment.plus(self.stuck) < self.now
    }
}

/// A check of one order that nobody works on any more.
type Check = fn(&Case) -> Option<Finding>;

const SETTLED: &[Check] = &[
    progress::order_has_ended,
    progress::order_has_a_saga,
    progress::versions_are_gapless,
    progress::customer_is_known,
    money::confirmed_is_paid,
    money::captured_is_confirmed,
    money::refunded_is_given_back,
    money::captured_once,
    money::ledger_adds_up,
    money::amount_is_the_total,
    money::provider_agrees,
    goods::confirmed_has_its_goods,
    goods::lines_are_those_ordered,
    goods::ended_holds_nothing,
    goods::refunded_returned_its_goods,
    messages::confirmation_is_told_once,
    messages::told_is_confirmed,
];

/// Everything that does not add up in one order.
pub fn of_order(case: &Case, limits: &Limits) -> Vec<Finding> {
    let always = [
        progress::saga_moves_on(case, limits),
        progress::payment_moves_on(case, limits),
        goods::reservation_makes_sense(case),
    ];
    let mut found: Vec<Finding> = always.into_iter().flatten().collect();
    if !case.is_in_progress(limits) {
        found.extend(SETTLED.iter().filter_map(|check| check(case)));
    }
    found
}

/// Statuses of orders that got their goods for their money.
const KEPT: [&str; 3] = ["confirmed", "shipped", "delivered"];
/// Statuses of orders that were refused or given up.
const REFUSED: [&str; 2] = ["rejected", "cancelled"];

fn is_kept(order: &OrderFacts) -> bool {
    KEPT.contains(&order.status.as_str())
}

fn is_refused(order: &OrderFacts) -> bool {
    REFUSED.contains(&order.status.as_str())
}

/// Whether the order has come to an end that the checks of money and goods can judge by.
fn has_ended(order: &OrderFacts) -> bool {
    is_kept(order) || is_refused(order) || order.status == "refunded"
}

/// How the order stands, in words.
fn standing(case: &Case) -> String {
    case.order
        .as_ref()
        .map_or_else(|| "orders does not know it".to_owned(), |order| format!("the order is {}", order.status))
}

fn finding(code: &'static str, severity: Severity, case: &Case, what: String, next: &'static str) -> Finding {
    let since = case.order.as_ref().map(|order| order.updated_at).or(case.payment.as_ref().map(|one| one.updated_at));
    let since = since.or(case.reservation.as_ref().filter(|one| !one.is_damaged()).map(|one| one.updated_at));
    Finding { code, severity, subject: Subject::order(case.order_id), what, since, next }
}
