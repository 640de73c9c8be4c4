//! Each check finds what was planted, once, and nothing else.

use contracts::audit::Backlog;
use contracts::ids::{OrderId, UserId};
use contracts::money::Currency;
use contracts::{Money, Timestamp};
use inventory::application::audit::{ReservationFacts, StockFacts};
use messaging::queue_audit::QueueFacts;
use notification::application::audit::{InboxFacts, NoticeFacts};
use orders::application::audit::{LoggedEvent, SagaFacts};
use payment::application::audit::{ChargeFacts, PaymentFacts};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000_000);
const LIMITS: Limits = Limits { now: NOW, grace: Duration::from_mins(1), stuck: Duration::from_mins(5) };

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn money(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap()).unwrap()
}

fn order_id() -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(7))
}

fn customer() -> UserId {
    UserId::from_uuid(Uuid::from_u128(3))
}

/// An order with nothing wrong, as it ends with these events after `order.created`.
fn case(status: &str, payment: Option<&str>, reservation: Option<&str>, events: &[&str]) -> Case {
    let kinds = std::iter::once("order.created").chain(events.iter().copied());
    let events: Vec<_> =
        kinds.zip(1..).map(|(kind, version)| LoggedEvent { event_type: kind.to_owned(), version }).collect();
    let lines = vec![("TEA".to_owned(), 2), ("CUP".to_owned(), 1)];
    let refunded = if payment == Some("refunded") { 500 } else { 0 };
    let is_captured = payment.is_some_and(|status| status != "declined");
    let confirmed = events.iter().any(|event| event.event_type == "order.confirmed");
    Case {
        order_id: order_id(),
        order: Some(OrderFacts {
            order_id: order_id(),
            user_id: customer(),
            status: status.to_owned(),
            version: events.len() as u64,
            total: money(500),
            lines: lines.clone(),
            updated_at: ago(100),
            saga: Some(SagaFacts { state: "done".to_owned(), attempts: 0, due_at: None }),
            events,
        }),
        payment: payment.map(|status| PaymentFacts {
            order_id: order_id(),
            status: status.to_owned(),
            amount: money(500),
            refunded_minor: refunded,
            next_check_at: None,
            updated_at: ago(100),
            captures: u64::from(is_captured),
            captured_minor: if is_captured { 500 } else { 0 },
            ledger_refunded_minor: refunded,
            refunds_due: 0,
        }),
        charge: Some(payment.map(|_| ChargeFacts {
            order_id: order_id(),
            is_captured,
            amount: money(500),
            refunded_minor: refunded,
            settle_at: ago(100),
            times_asked: 1,
        })),
        reservation: reservation.map(|status| ReservationFacts {
            order_id: order_id(),
            status: status.to_owned(),
            lines,
            expires_at: None,
            updated_at: ago(100),
        }),
        notices: if confirmed { vec![notice()] } else { Vec::new() },
        customer_known: true,
    }
}

fn notice() -> NoticeFacts {
    NoticeFacts {
        order_id: order_id(),
        user_id: customer(),
        kind: "order_confirmed".to_owned(),
        created_at: ago(99),
        is_in_inbox: true,
        is_muted: false,
    }
}

fn confirmed() -> Case {
    case("confirmed", Some("captured"), Some("committed"), &["order.confirmed"])
}

fn cancelled() -> Case {
    case("cancelled", Some("declined"), Some("released"), &["order.cancelled"])
}

fn order(case: &mut Case) -> &mut OrderFacts {
    case.order.as_mut().unwrap()
}

fn payment(case: &mut Case) -> &mut PaymentFacts {
    case.payment.as_mut().unwrap()
}

fn charge(case: &mut Case) -> &mut ChargeFacts {
    case.charge.as_mut().unwrap().as_mut().unwrap()
}

fn codes(case: &Case) -> Vec<&'static str> {
    of_order(case, &LIMITS).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn every_rightful_end_of_an_order_passes() {
    let events = ["order.confirmed", "order.shipped", "order.delivered", "order.refunded"];
    for (status, payment, reservation, events) in [
        ("confirmed", Some("captured"), Some("committed"), &events[..1]),
        ("shipped", Some("captured"), Some("committed"), &events[..2]),
        ("delivered", Some("captured"), Some("committed"), &events[..3]),
        ("refunded", Some("refunded"), Some("committed"), &events[..4]),
        ("refunded", Some("refunded"), Some("returned"), &["order.confirmed", "order.refunded"]),
        ("refunded", Some("refunded"), Some("released"), &["order.confirmed", "order.refunded"]),
        ("rejected", None, None, &["order.rejected"]),
        ("rejected", None, Some("released"), &["order.rejected"]),
        ("cancelled", None, Some("released"), &["order.cancelled"]),
        ("cancelled", Some("declined"), Some("released"), &["order.cancelled"]),
        ("cancelled", Some("refunded"), Some("returned"), &["order.confirmed", "order.cancelled"]),
    ] {
        let case = case(status, payment, reservation, events);
        assert_eq!(codes(&case), Vec::<&str>::new(), "{status} {payment:?} {reservation:?}");
    }
    assert!(Case::unknown(order_id(), true).is_unknown() && !confirmed().is_unknown());
}

#[test]
fn what_is_planted_in_one_order_is_found_once() {
    type Base = fn() -> Case;
    type Plant = fn(&mut Case);
    let plants: &[(&str, Base, Plant)] = &[
        ("order-not-ended", confirmed, |c| order(c).status = "pending".to_owned()),
        ("order-without-saga", confirmed, |c| order(c).saga = None),
        ("versions-differ", confirmed, |c| order(c).version = 7),
        ("versions-differ", confirmed, |c| order(c).events[0].version = 2),
        ("customer-unknown", confirmed, |c| c.customer_known = false),
        ("confirmed-not-paid", confirmed, |c| {
            c.payment = None;
            c.charge = Some(None);
        }),
        ("captured-not-confirmed", cancelled, |c| {
            *payment(c) = confirmed().payment.unwrap();
            *charge(c) = confirmed().charge.unwrap().unwrap();
        }),
        ("captured-not-confirmed", confirmed, |c| {
            c.order = None;
            c.reservation = None;
            c.notices.clear();
        }),
        (
            "refunded-not-given-back",
            || case("refunded", Some("captured"), Some("returned"), &["order.refunded"]),
            |_| {},
        ),
        ("captured-twice", confirmed, |c| {
            payment(c).captures = 2;
            payment(c).captured_minor = 1000;
        }),
        ("ledger-differs", confirmed, |c| payment(c).captured_minor = 400),
        ("ledger-differs", confirmed, |c| payment(c).ledger_refunded_minor = 100),
        ("amount-differs", confirmed, |c| order(c).total = money(600)),
        ("provider-differs", confirmed, |c| c.charge = Some(None)),
        ("provider-differs", confirmed, |c| charge(c).refunded_minor = 500),
        ("provider-differs", cancelled, |c| charge(c).is_captured = true),
        ("provider-differs", || Case::unknown(order_id(), true), |c| c.charge = confirmed().charge),
        ("confirmed-without-goods", confirmed, |c| c.reservation = None),
        ("confirmed-without-goods", confirmed, |c| c.reservation.as_mut().unwrap().status = "pinned".to_owned()),
        ("reservation-damaged", confirmed, |c| c.reservation = Some(ReservationFacts::damaged(order_id()))),
        ("reservation-damaged", cancelled, |c| c.reservation = Some(ReservationFacts::damaged(order_id()))),
        ("reservation-damaged", confirmed, |c| {
            c.reservation = Some(ReservationFacts::damaged(order_id()));
            order(c).saga = Some(SagaFacts { state: "releasing".to_owned(), attempts: 1, due_at: Some(ago(0)) });
        }),
        (
            "reservation-damaged",
            || Case::unknown(order_id(), true),
            |c| {
                c.reservation = Some(ReservationFacts::damaged(order_id()));
            },
        ),
        ("goods-differ", confirmed, |c| c.reservation.as_mut().unwrap().lines[0].1 = 1),
        ("goods-held", cancelled, |c| c.reservation.as_mut().unwrap().status = "pinned".to_owned()),
        ("goods-held", || Case::unknown(order_id(), true), |c| c.reservation = confirmed().reservation),
        (
            "goods-not-returned",
            || case("refunded", Some("refunded"), Some("committed"), &["order.confirmed", "order.refunded"]),
            |_| {},
        ),
        ("confirmation-not-told", confirmed, |c| c.notices.clear()),
        ("confirmation-not-told", confirmed, |c| c.notices.push(notice())),
        ("confirmation-not-told", confirmed, |c| c.notices[0].is_in_inbox = false),
        ("confirmation-not-told", confirmed, |c| c.notices.push(NoticeFacts { is_muted: true, ..notice() })),
        ("confirmation-not-told", confirmed, |c| c.notices[0].user_id = UserId::from_uuid(Uuid::from_u128(9))),
        ("told-not-confirmed", cancelled, |c| c.notices.push(notice())),
    ];
    for (at, (code, base, plant)) in plants.iter().enumerate() {
        let mut case = base();
        plant(&mut case);
        assert_eq!(codes(&case), [*code], "plant {at}");
    }
}

#[test]
fn what_a_customer_does_not_want_in_the_inbox_is_not_missed_there() {
    let mut case = confirmed();
    case.notices[0] = NoticeFacts { is_in_inbox: false, is_muted: true, ..notice() };
    assert_eq!(codes(&case), Vec::<&str>::new());
}

#[test]
fn what_somebody_works_on_or_has_just_changed_is_not_judged() {
    let wrong = || {
        let mut case = confirmed();
        case.reservation = None;
        case
    };
    type Change = fn(&mut Case);
    let changes: &[Change] = &[
        |c| order(c).updated_at = ago(59),
        |c| order(c).saga = Some(SagaFacts { state: "committing".to_owned(), attempts: 1, due_at: Some(ago(0)) }),
        |c| payment(c).updated_at = ago(1),
        |c| payment(c).refunds_due = 1,
        |c| charge(c).settle_at = NOW.plus(Duration::from_secs(1)),
        |c| c.notices[0].created_at = ago(1),
    ];
    assert_eq!(codes(&wrong()), ["confirmed-without-goods"]);
    for (at, change) in changes.iter().enumerate() {
        let mut case = wrong();
        change(&mut case);
        assert_eq!(codes(&case), Vec::<&str>::new(), "change {at}");
    }
}

#[test]
fn what_is_under_way_for_too_long_is_stuck() {
    let saga = |state: &str, attempts, due| {
        let mut case = case("pending", None, None, &[]);
        order(&mut case).saga = Some(SagaFacts { state: state.to_owned(), attempts, due_at: Some(due) });
        case
    };
    assert_eq!(codes(&saga("charging", 3, ago(0))), Vec::<&str>::new());
    assert_eq!(codes(&saga("charging", 3, ago(301))), ["stuck-saga"]);
    assert_eq!(codes(&saga("charging", 8, ago(0))), ["stuck-saga"]);
    let mut old = saga("reserving", 1, ago(0));
    order(&mut old).updated_at = ago(301);
    assert_eq!(codes(&old), ["stuck-saga"]);

    let mut undecided = cancelled();
    payment(&mut undecided).next_check_at = Some(ago(0));
    assert_eq!(codes(&undecided), Vec::<&str>::new());
    payment(&mut undecided).updated_at = ago(301);
    assert_eq!(codes(&undecided), ["stuck-payment"]);
}

#[test]
fn stock_inboxes_outboxes_and_queues_are_found_when_they_do_not_add_up() {
    let stock = |counted, ledger, shipped, promised, sold| {
        of_stock(&StockFacts { sku: "TEA".to_owned(), counted, ledger, shipped, promised, sold }).is_some()
    };
    assert!(!stock(Some((5, 1)), 5, 2, 1, 2));
    assert!(stock(None, 5, 2, 1, 2) && stock(Some((6, 1)), 5, 2, 1, 2));
    assert!(stock(Some((5, 0)), 5, 2, 1, 2) && stock(Some((5, 1)), 5, 2, 1, 3));

    let inbox = |entries, first_seq, last_seq, notification_entries| {
        let inbox =
            InboxFacts { user_id: customer(), entries, first_seq, last_seq, notification_entries, notifications: 1 };
        of_inbox(&inbox).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert!(inbox(3, 1, 3, 1).is_empty());
    assert_eq!(inbox(2, 1, 3, 1), ["inbox-gaps"]);
    assert_eq!(inbox(2, 2, 3, 1), ["inbox-gaps"]);
    assert_eq!(inbox(3, 1, 3, 2), ["inbox-differs"]);

    let outbox = |waiting, oldest_at| of_outbox("orders", &Backlog { waiting, oldest_at }, &LIMITS).is_some();
    assert!(!outbox(0, None) && !outbox(3, Some(ago(59))));
    assert!(outbox(3, Some(ago(61))) && outbox(3, None), "an outbox row without its event is wrong, too");

    let queue = |messages, is_dead| {
        of_queue(&QueueFacts { queue: "a".to_owned(), messages, is_dead, last_error: None }).is_some()
    };
    assert!(queue(1, true) && !queue(1, false) && !queue(0, true));
}

#[test]
fn no_finding_advises_to_edit_a_store_and_each_says_where_more_is_written() {
    let manual = include_str!("../../../../../docs/operations.md");
    let mut wrong = confirmed();
    wrong.reservation = None;
    let found = of_order(&wrong, &LIMITS).remove(0);
    assert_eq!(found.more(), "docs/operations.md#confirmed-without-goods");
    for code in include_str!("../checks/progress.rs")
        .lines()
        .chain(include_str!("../checks/money.rs").lines())
        .chain(include_str!("../checks/goods.rs").lines())
        .chain(include_str!("../checks/messages.rs").lines())
        .filter_map(|line| {
            line.split_once("finding(\"").or(line.split_once("code: \"")).or(line.split_once("found(\""))
        })
        .filter_map(|(_, rest)| rest.split_once('"'))
        .map(|(code, _)| code)
    {
        assert!(manual.contains(&format!("#### {code}\n")), "docs/operations.md has no heading {code}");
    }
}
