//! Goods: gone for confirmed orders alone, and every unit accounted for.

use std::collections::BTreeMap;

use inventory::application::audit::{ReservationFacts, StockFacts};

use super::{finding, is_kept, is_refused, standing};
use crate::reconcile::case::Case;
use crate::reconcile::{Finding, Severity, Subject};

fn reservation_stands(case: &Case) -> String {
    let of = |status: &str| format!("the reservation is {status}");
    case.reservation.as_ref().map_or_else(|| "inventory does not know it".to_owned(), |one| of(&one.status))
}

fn has_status(case: &Case, statuses: &[&str]) -> bool {
    case.reservation.as_ref().is_some_and(|reservation| statuses.contains(&reservation.status.as_str()))
}

/// What inventory has of an order can be read. Not so with time: it is told whoever works on the order.
pub(super) fn reservation_makes_sense(case: &Case) -> Option<Finding> {
    case.reservation.as_ref().filter(|reservation| reservation.is_damaged())?;
    let what = format!("{}, and what is stored of its reservation makes no sense", standing(case));
    let next = "if the order is confirmed, count the shelf before shipping; restore inventory's store from a backup, and report it";
    Some(finding("reservation-damaged", Severity::Critical, case, what, next))
}

/// A confirmed order has its goods.
pub(super) fn confirmed_has_its_goods(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|order| is_kept(order))?;
    if has_status(case, &["committed", ReservationFacts::DAMAGED]) {
        return None;
    }
    let what = format!("the order is {}, {}", order.status, reservation_stands(case));
    let next = "count the shelf before shipping; refund what can't be had (POST /api/orders/{id}/refund as support); was \
                inventory's store restored from an older copy?";
    Some(finding("confirmed-without-goods", Severity::Critical, case, what, next))
}

/// What is reserved is what was ordered.
pub(super) fn lines_are_those_ordered(case: &Case) -> Option<Finding> {
    let (order, reservation) = (case.order.as_ref()?, case.reservation.as_ref()?);
    // A reservation without lines only remembers that there was none to release.
    if reservation.lines.is_empty() || units(&order.lines) == units(&reservation.lines) {
        return None;
    }
    let what = format!("ordered were {:?}, reserved are {:?}", units(&order.lines), units(&reservation.lines));
    let next = "do not ship it; refund it (POST /api/orders/{id}/refund as support), count these products on the shelf \
                (PUT /api/products/{sku}/stock), and report it";
    Some(finding("goods-differ", Severity::Critical, case, what, next))
}

fn units(lines: &[(String, u32)]) -> BTreeMap<&str, u64> {
    let mut units = BTreeMap::new();
    for (sku, quantity) in lines {
        *units.entry(sku.as_str()).or_default() += u64::from(*quantity);
    }
    units
}

/// An order that was refused or given up, or that nobody knows, holds nothing.
pub(super) fn ended_holds_nothing(case: &Case) -> Option<Finding> {
    let ended = case.order.as_ref().is_none_or(is_refused);
    if !ended || !has_status(case, &["held", "pinned", "committed"]) {
        return None;
    }
    let what = format!("{}, {}", standing(case), reservation_stands(case));
    let next = "a hold is released by inventory when it runs out; if it is pinned or committed, count these products on the \
                shelf (PUT /api/products/{sku}/stock) and report it";
    Some(finding("goods-held", Severity::Major, case, what, next))
}

/// An order that was refunded before it shipped gave its goods back.
pub(super) fn refunded_returned_its_goods(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|order| order.status == "refunded")?;
    let shipped = order.events.iter().any(|event| event.event_type == "order.shipped");
    if shipped || !has_status(case, &["held", "pinned", "committed"]) {
        return None;
    }
    let what = format!("the order was refunded before it shipped, {}", reservation_stands(case));
    let next = "see that orders and inventory are ready; if it stays, count these products on the shelf \
                (PUT /api/products/{sku}/stock) and report it";
    Some(finding("goods-not-returned", Severity::Major, case, what, next))
}

/// Counters, ledger and reservations of a product agree.
pub fn of_stock(stock: &StockFacts) -> Option<Finding> {
    let StockFacts { sku, counted, ledger, shipped, promised, sold } = stock;
    if *counted == Some((*ledger, *promised)) && shipped == sold {
        return None;
    }
    let counted = counted.map_or_else(
        || "no counters".to_owned(),
        |(on_hand, reserved)| format!("{on_hand} on hand, {reserved} reserved"),
    );
    let what = format!(
        "counters: {counted}; ledger: {ledger} on hand, {shipped} shipped; reservations: {promised} promised, {sold} sold"
    );
    let next = "on Redis inventory sets counters right by itself within minutes; otherwise count the product on the shelf \
                (PUT /api/products/{sku}/stock) and report it";
    Some(Finding {
        code: "stock-differs",
        severity: Severity::Critical,
        subject: Subject::Product(sku.clone()),
        what,
        since: None,
        next,
    })
}
