//! Money: captured for confirmed orders alone, once, in full, and as the provider has it.

use payment::application::audit::PaymentFacts;

use super::{finding, has_ended, is_kept, standing};
use crate::reconcile::case::Case;
use crate::reconcile::{Finding, Severity};

/// Minor units of the customer that Souk has, by payment.
fn kept(payment: &PaymentFacts) -> i64 {
    match payment.status.as_str() {
        "captured" | "partially_refunded" | "refunded" => payment.amount.amount_minor() - payment.refunded_minor,
        _ => 0,
    }
}

fn payment_stands(case: &Case) -> String {
    case.payment
        .as_ref()
        .map_or_else(|| "payment does not know it".to_owned(), |payment| format!("the payment is {}", payment.status))
}

/// A confirmed order is paid.
pub(super) fn confirmed_is_paid(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|order| is_kept(order))?;
    if case.payment.as_ref().is_some_and(|payment| payment.status == "captured") {
        return None;
    }
    let what = format!("the order is {}, {}", order.status, payment_stands(case));
    let next = "do not ship it; if the provider has no charge either, cancel it (POST /api/orders/{id}/cancel as support), which \
                charges nothing";
    Some(finding("confirmed-not-paid", Severity::Critical, case, what, next))
}

/// Captured money belongs to a confirmed order, or goes back.
pub(super) fn captured_is_confirmed(case: &Case) -> Option<Finding> {
    let payment = case.payment.as_ref().filter(|payment| kept(payment) > 0)?;
    match &case.order {
        // Not ended: told as such. Refunded: told by its own check.
        Some(order) if is_kept(order) || !has_ended(order) || order.status == "refunded" => return None,
        _ => {}
    }
    let what = format!("{} minor units are captured, {}", kept(payment), standing(case));
    let next = if case.order.is_some() {
        "orders refunds it by itself when it hears payment.captured: look for that event among the dead letters (souk dlq list) \
         and replay it (souk dlq replay)"
    } else {
        "was orders' database restored from an older copy? Restore the newer one; else give the money back at the provider, \
         by its reference in payment's record"
    };
    Some(finding("captured-not-confirmed", Severity::Critical, case, what, next))
}

/// A refunded order has its money back.
pub(super) fn refunded_is_given_back(case: &Case) -> Option<Finding> {
    case.order.as_ref().filter(|order| order.status == "refunded")?;
    if case.payment.as_ref().is_some_and(|payment| payment.status == "refunded") {
        return None;
    }
    let what = format!("the order is refunded, {}", payment_stands(case));
    let next = "see that payment and its provider are ready; if it stays, give the money back at the provider, by its \
                reference in payment's record, and report it";
    Some(finding("refunded-not-given-back", Severity::Critical, case, what, next))
}

/// The ledger has one capture for an order at most.
pub(super) fn captured_once(case: &Case) -> Option<Finding> {
    let payment = case.payment.as_ref().filter(|payment| payment.captures > 1)?;
    let what = format!("the ledger has {} captures, {} minor units in all", payment.captures, payment.captured_minor);
    let next = "compare with the provider's own report; give back there what was taken twice, and report it";
    Some(finding("captured-twice", Severity::Critical, case, what, next))
}

/// The ledger says what the payment says.
pub(super) fn ledger_adds_up(case: &Case) -> Option<Finding> {
    let payment = case.payment.as_ref()?;
    let was_captured = matches!(payment.status.as_str(), "captured" | "partially_refunded" | "refunded");
    let captured = if was_captured { payment.amount.amount_minor() } else { 0 };
    let refunds_agree = payment.refunded_minor == payment.ledger_refunded_minor;
    if payment.captures > 1 || (payment.captured_minor == captured && refunds_agree) {
        return None;
    }
    let what = format!(
        "the payment is {}, {} of {} given back; its ledger has {} captured, {} given back",
        payment.status,
        payment.refunded_minor,
        payment.amount.amount_minor(),
        payment.captured_minor,
        payment.ledger_refunded_minor
    );
    let next = "trust neither: compare with the provider's own report, keep the stores as they are, and report it; was payment's \
                database restored in part?";
    Some(finding("ledger-differs", Severity::Critical, case, what, next))
}

/// What was captured is what the order costs.
pub(super) fn amount_is_the_total(case: &Case) -> Option<Finding> {
    let (order, payment) = (case.order.as_ref()?, case.payment.as_ref()?);
    if payment.amount == order.total {
        return None;
    }
    let what = format!(
        "the order costs {} {}, the payment is of {} {}",
        order.total.amount_minor(),
        order.total.currency().as_str(),
        payment.amount.amount_minor(),
        payment.amount.currency().as_str()
    );
    let next =
        "do not ship it; refund it (POST /api/orders/{id}/refund as support) and ask the customer to order again";
    Some(finding("amount-differs", Severity::Critical, case, what, next))
}

/// The provider has what payment says that it has.
pub(super) fn provider_agrees(case: &Case) -> Option<Finding> {
    let charge = case.charge.as_ref()?.as_ref();
    let at_provider = charge
        .filter(|charge| charge.is_captured)
        .map_or(0, |charge| charge.amount.amount_minor() - charge.refunded_minor);
    let by_payment = case.payment.as_ref().map_or(0, kept);
    if at_provider == by_payment {
        return None;
    }
    let what = format!("the provider keeps {at_provider} minor units, payment has {by_payment} ({})", standing(case));
    let next = if at_provider > by_payment {
        "a customer's money is at the provider and Souk does not know: give it back there, unless payment settles it by itself \
         within a minute"
    } else {
        "do not ship it; see that SOUK_PAYMENT_SANDBOX_URL names the right books, then compare with the provider's own report"
    };
    Some(finding("provider-differs", Severity::Critical, case, what, next))
}
