//! Every transition, legal and illegal, and the invariants under random sequences of verbs.

use contracts::ids::{OrderId, PaymentId, RefundId, UserId};
use contracts::money::{Currency, MAX_AMOUNT_MINOR};
use contracts::{Money, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::payment::{ChargeDetails, RefundStanding};
use super::*;

const SCHEDULE: RetrySchedule = RetrySchedule {
    grace: std::time::Duration::from_secs(5),
    first: std::time::Duration::from_secs(1),
    most: std::time::Duration::from_mins(1),
};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn usd(minor: i64) -> PositiveAmount {
    Money::new(minor, Currency::USD).unwrap().try_into().unwrap()
}

fn refund_id(n: u128) -> RefundId {
    RefundId::from_uuid(Uuid::from_u128(n))
}

fn details(amount: PositiveAmount) -> ChargeDetails {
    ChargeDetails {
        order_id: OrderId::from_uuid(Uuid::from_u128(1)),
        user_id: UserId::from_uuid(Uuid::from_u128(2)),
        amount,
        method: "card_ok".parse().unwrap(),
    }
}

fn pending(amount: i64) -> Payment {
    Payment::open(PaymentId::from_uuid(Uuid::from_u128(3)), details(usd(amount)), at(0), &SCHEDULE)
}

fn reference() -> ProviderReference {
    "ch_1".parse().unwrap()
}

/// A payment of 100 in each status.
fn in_status(status: PaymentStatus) -> Payment {
    let mut payment = pending(100);
    let give_back = |payment: &mut Payment, amount| {
        payment.begin_refund(refund_id(1), usd(amount), String::new(), at(2), &SCHEDULE).unwrap();
        payment.complete_refund(refund_id(1), at(3)).unwrap();
    };
    match status {
        PaymentStatus::Pending => {}
        PaymentStatus::Unknown => payment.mark_unknown(at(1), &SCHEDULE).unwrap(),
        PaymentStatus::Declined => drop(payment.decline("no", at(1)).unwrap()),
        PaymentStatus::Captured => drop(payment.capture(reference(), at(1)).unwrap()),
        PaymentStatus::PartiallyRefunded => {
            payment.capture(reference(), at(1)).unwrap();
            give_back(&mut payment, 40);
        }
        PaymentStatus::Refunded => {
            payment.capture(reference(), at(1)).unwrap();
            give_back(&mut payment, 100);
        }
    }
    assert_eq!(payment.status(), status);
    payment
}

#[test]
fn from_every_status_exactly_the_documented_verbs_are_allowed() {
    use PaymentStatus::{Captured, Declined, PartiallyRefunded, Pending, Refunded, Unknown};
    type Verb = fn(&mut Payment) -> bool;
    let verbs: [(&str, Verb, &[PaymentStatus]); 5] = [
        ("capture", |p| p.capture(reference(), at(9)).is_ok(), &[Pending, Unknown]),
        ("decline", |p| p.decline("no", at(9)).is_ok(), &[Pending, Unknown]),
        ("mark_unknown", |p| p.mark_unknown(at(9), &SCHEDULE).is_ok(), &[Pending]),
        ("postpone_check", |p| p.postpone_check(at(9), &SCHEDULE).is_ok(), &[Pending, Unknown]),
        (
            "begin_refund",
            |p| p.begin_refund(refund_id(9), usd(1), String::new(), at(9), &SCHEDULE).is_ok(),
            &[Captured, PartiallyRefunded],
        ),
    ];
    for status in [Pending, Unknown, Captured, Declined, PartiallyRefunded, Refunded] {
        for (name, verb, allowed) in &verbs {
            let before = in_status(status);
            let mut payment = before.clone();
            assert_eq!(verb(&mut payment), allowed.contains(&status), "{name} from {status:?}");
            if !allowed.contains(&status) {
                assert_eq!(payment, before, "a refused {name} changes nothing");
            }
        }
        let before = in_status(status);
        let mut payment = before.clone();
        for id in [1, 9] {
            assert!(payment.complete_refund(refund_id(id), at(9)).is_err(), "no refund is pending in {status:?}");
            assert!(payment.postpone_refund(refund_id(id), at(9), &SCHEDULE).is_err());
        }
        assert_eq!(payment, before);
    }
}

#[test]
fn a_refused_transition_says_from_where_and_what() {
    let error = in_status(PaymentStatus::Declined).capture(reference(), at(9)).unwrap_err();
    assert_eq!(error, IllegalTransition { from: PaymentStatus::Declined, verb: "be captured" });
    assert_eq!(error.to_string(), "a payment that is declined can't be captured");
}

#[test]
fn the_same_charge_is_recognised_and_any_other_refused() {
    let payment = pending(100);
    let same = details(usd(100));
    assert_eq!(payment.check_same_charge(&same), Ok(()));
    let others = [
        ("amount", ChargeDetails { amount: usd(101), ..same.clone() }),
        (
            "amount",
            ChargeDetails {
                amount: Money::new(100, Currency::parse("EUR").unwrap()).unwrap().try_into().unwrap(),
                ..same.clone()
            },
        ),
        ("user", ChargeDetails { user_id: UserId::from_uuid(Uuid::from_u128(9)), ..same.clone() }),
        ("method", ChargeDetails { method: "card_slow".parse().unwrap(), ..same.clone() }),
        ("order", ChargeDetails { order_id: OrderId::from_uuid(Uuid::from_u128(9)), ..same }),
    ];
    for (field, other) in others {
        assert_eq!(payment.check_same_charge(&other), Err(OtherCharge { field }));
    }
}

#[test]
fn refunds_under_way_count_against_the_capture() {
    let mut payment = in_status(PaymentStatus::Captured);
    let mut begin = |id, amount| payment.begin_refund(refund_id(id), usd(amount), String::new(), at(2), &SCHEDULE);
    assert_eq!(begin(1, 60), Ok(RefundStanding::Begun));
    let left = Money::new(40, Currency::USD).unwrap();
    assert_eq!(begin(2, 41), Err(RefundRefused::ExceedsCapture { left }));
    assert_eq!(begin(2, 40), Ok(RefundStanding::Begun));
    assert_eq!(begin(1, 60), Ok(RefundStanding::Pending));
    assert_eq!(begin(1, 59), Err(RefundRefused::OtherRefund));
    assert_eq!(payment.status(), PaymentStatus::Captured, "nothing is given back yet");
    payment.complete_refund(refund_id(1), at(3)).unwrap();
    assert_eq!((payment.status(), payment.refunded().amount_minor()), (PaymentStatus::PartiallyRefunded, 60));
    assert_eq!(payment.begin_refund(refund_id(1), usd(60), String::new(), at(4), &SCHEDULE), Ok(RefundStanding::Done));
    payment.complete_refund(refund_id(2), at(3)).unwrap();
    assert_eq!((payment.status(), payment.refunded().amount_minor()), (PaymentStatus::Refunded, 100));
}

#[test]
fn a_refund_in_another_currency_is_refused() {
    let mut payment = in_status(PaymentStatus::Captured);
    let euros = Money::new(1, Currency::parse("EUR").unwrap()).unwrap().try_into().unwrap();
    let refused = payment.begin_refund(refund_id(1), euros, String::new(), at(2), &SCHEDULE);
    assert!(matches!(refused, Err(RefundRefused::OtherCurrency { .. })), "{refused:?}");
}

#[test]
fn a_stored_payment_that_breaks_a_rule_is_not_restored() {
    let refunded = in_status(PaymentStatus::PartiallyRefunded).snapshot();
    type Damage = fn(&mut PaymentSnapshot);
    let damages: [Damage; 8] = [
        |s| s.status = PaymentStatus::Pending,
        |s| s.status = PaymentStatus::Captured,
        |s| s.status = PaymentStatus::Refunded,
        |s| s.reference = None,
        |s| s.decline_reason = Some(String::new()),
        |s| s.next_check = Some(Retry { looks: 0, due_at: at(0) }),
        |s| s.amount = Money::new(39, Currency::USD).unwrap(),
        |s| s.amount = Money::new(100, Currency::parse("EUR").unwrap()).unwrap(),
    ];
    assert!(Payment::restore(refunded.clone()).is_ok());
    for (n, damage) in damages.into_iter().enumerate() {
        let mut snapshot = refunded.clone();
        damage(&mut snapshot);
        assert!(Payment::restore(snapshot).is_err(), "damage {n}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Capture,
    Decline,
    MarkUnknown,
    PostponeCheck,
    BeginRefund(u8, i64),
    CompleteRefund(u8),
    PostponeRefund(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = 0..4_u8;
    prop_oneof![
        2 => Just(Step::Capture),
        1 => Just(Step::Decline),
        1 => Just(Step::MarkUnknown),
        1 => Just(Step::PostponeCheck),
        4 => (id.clone(), prop_oneof![1..200_i64, 1..=MAX_AMOUNT_MINOR]).prop_map(|(id, amount)| Step::BeginRefund(id, amount)),
        4 => id.clone().prop_map(Step::CompleteRefund),
        1 => id.prop_map(Step::PostponeRefund),
    ]
}

/// What happened, if anything; `Err` when it was refused.
fn take(payment: &mut Payment, step: &Step) -> Result<Option<PaymentHappened>, ()> {
    let now = at(1000);
    let id = |n: u8| refund_id(u128::from(n));
    match *step {
        Step::Capture => payment.capture(reference(), now).map(Some).map_err(drop),
        Step::Decline => payment.decline("no", now).map(Some).map_err(drop),
        Step::MarkUnknown => payment.mark_unknown(now, &SCHEDULE).map(|()| None).map_err(drop),
        Step::PostponeCheck => payment.postpone_check(now, &SCHEDULE).map(|()| None).map_err(drop),
        Step::BeginRefund(n, amount) => {
            payment.begin_refund(id(n), usd(amount), String::new(), now, &SCHEDULE).map(|_| None).map_err(drop)
        }
        Step::CompleteRefund(n) => payment.complete_refund(id(n), now).map(Some).map_err(drop),
        Step::PostponeRefund(n) => payment.postpone_refund(id(n), now, &SCHEDULE).map(|()| None).map_err(drop),
    }
}

proptest! {
    #[test]
    fn no_sequence_of_verbs_breaks_an_invariant(
        amount in prop_oneof![1..300_i64, Just(MAX_AMOUNT_MINOR)],
        steps in prop::collection::vec(any_step(), 0..40),
    ) {
        let mut payment = pending(amount);
        let (mut decisions, mut given) = (0, 0);
        for step in &steps {
            let before = payment.clone();
            let result = take(&mut payment, step);
            match result {
                Err(()) => prop_assert_eq!(&payment, &before, "a refused verb changes nothing"),
                Ok(None) => {}
                Ok(Some(PaymentHappened::Captured | PaymentHappened::Declined)) => decisions += 1,
                Ok(Some(PaymentHappened::Refunded { amount, .. })) => given += amount.amount_minor(),
            }
            prop_assert!(payment.version() >= before.version());
            if payment.status() != before.status() {
                prop_assert!(payment.version() > before.version());
            }
            if before.is_decided() {
                prop_assert_eq!(payment.provider_reference(), before.provider_reference());
                prop_assert_eq!(payment.decline_reason(), before.decline_reason());
            }
            let asked: i64 = payment.refunds().iter().map(|refund| refund.amount().amount_minor()).sum();
            prop_assert!(asked <= amount, "refunds never exceed the capture");
            prop_assert_eq!(payment.refunded().amount_minor(), given);
            prop_assert_eq!(payment.next_check().is_none(), payment.is_decided());
            prop_assert_eq!(Payment::restore(payment.snapshot()), Ok(payment.clone()));
        }
        prop_assert!(decisions <= 1, "a charge is decided once");
    }
}
