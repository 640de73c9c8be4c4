//! Orders come to an end, and their log tells how.

use super::{Limits, finding, has_ended};
use crate::reconcile::case::Case;
use crate::reconcile::{Finding, Severity};

/// Failed attempts at one step after which somebody should look: about two minutes of growing waits.
const MANY_ATTEMPTS: u64 = 8;

/// No saga is left alone or fails for long.
pub(super) fn saga_moves_on(case: &Case, limits: &Limits) -> Option<Finding> {
    let order = case.order.as_ref()?;
    let saga = order.saga.as_ref().filter(|saga| saga.state != "done")?;
    let left_alone = saga.due_at.is_none_or(|due| limits.is_stuck(due));
    let undecided = order.status == "pending" && limits.is_stuck(order.updated_at);
    if !left_alone && !undecided && saga.attempts < MANY_ATTEMPTS {
        return None;
    }
    let waits_for = match saga.state.as_str() {
        "charging" | "refunding" => "payment",
        "confirming" => "orders' own store",
        _ => "inventory",
    };
    let what = if left_alone {
        format!("its saga is {}, and no orders service takes it up", saga.state)
    } else {
        format!("its saga is {} after {} failed attempts; the step waits for {waits_for}", saga.state, saga.attempts)
    };
    let next = "see that orders, and the service that the step waits for, are ready (/health/ready): orders takes the saga up \
                by itself within 30 s";
    let since = saga.due_at.filter(|_| left_alone).or(Some(order.updated_at));
    Some(Finding { since, ..finding("stuck-saga", Severity::Major, case, what, next) })
}

/// No payment stays undecided, and no refund due, for long.
pub(super) fn payment_moves_on(case: &Case, limits: &Limits) -> Option<Finding> {
    let payment = case.payment.as_ref()?;
    let undecided = payment.next_check_at.is_some();
    if !(undecided || payment.refunds_due > 0) || !limits.is_stuck(payment.updated_at) {
        return None;
    }
    let what = if undecided {
        format!("the payment is {}: its outcome is not known", payment.status)
    } else {
        format!("{} refunds were asked for and are not confirmed by the provider", payment.refunds_due)
    };
    let next = "see that payment is ready and its provider answers (/health/ready): payment asks again by itself, at most a \
                minute apart";
    let since = Some(payment.updated_at);
    Some(Finding { since, ..finding("stuck-payment", Severity::Major, case, what, next) })
}

/// An order that nobody works on has ended.
pub(super) fn order_has_ended(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|order| !has_ended(order))?;
    let what = format!("the order is {} although its saga is done", order.status);
    let next = "restart orders, then ask the customer's order again; if it stays, keep the stores as they are and report it: \
                no saga ends like this";
    Some(finding("order-not-ended", Severity::Critical, case, what, next))
}

/// Every order has a saga.
pub(super) fn order_has_a_saga(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|order| order.saga.is_none())?;
    let what = format!("the order is {} and has no saga: nobody sees to what it is owed", order.status);
    let next = "cancel it if it is not decided (POST /api/orders/{id}/cancel); else compare this audit's other findings on it; \
                was orders' database restored in part?";
    Some(finding("order-without-saga", Severity::Critical, case, what, next))
}

/// The log has one event for each version of the order.
pub(super) fn versions_are_gapless(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref()?;
    let logged = order.events.len() as u64;
    let gapless = order.events.iter().zip(1..).all(|(event, version)| event.version == version);
    if gapless && logged == order.version {
        return None;
    }
    let versions: Vec<_> = order.events.iter().map(|event| event.version.to_string()).collect();
    let what = format!("the order is at version {}, its event log has [{}]", order.version, versions.join(", "));
    let next = "keep the stores as they are and report it: state and log are written in one transaction; was orders' database \
                restored in part?";
    Some(finding("versions-differ", Severity::Major, case, what, next))
}

/// The customer has an account.
pub(super) fn customer_is_known(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|_| !case.customer_known)?;
    let what = format!("users has no account {}, whose order it is", order.user_id);
    let next =
        "see that SOUK_USERS_DATABASE_URL names the right store; was users' database restored from an older copy?";
    Some(finding("customer-unknown", Severity::Minor, case, what, next))
}
