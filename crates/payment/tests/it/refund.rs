//! Giving money back once.

use contracts::event_data::PaymentEvent;
use payment::application::ports::LedgerKind;
use payment::application::refund::{RefundError, RefundRequested};
use payment::domain::{PaymentStatus, RefundRefused};

use crate::flaky_provider::Fault;
use crate::world::{DEADLINE, World, details, give_back, money, new_order, usd};

#[tokio::test]
async fn a_part_and_then_the_rest_are_given_back_recorded_and_told() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    let (part, rest) = (give_back(order_id, 400), give_back(order_id, 600));
    let payment = world.refund.execute(part.clone()).await.unwrap();
    assert_eq!((payment.status(), payment.refunded().amount_minor()), (PaymentStatus::PartiallyRefunded, 400));
    let payment = world.refund.execute(rest.clone()).await.unwrap();
    assert_eq!((payment.status(), payment.refunded().amount_minor()), (PaymentStatus::Refunded, 1000));
    assert_eq!(world.stored(order_id).await, payment);
    assert_eq!(payment.refunds()[0].reason(), "changed their mind");

    let ledger = world.ledger(order_id).await;
    let mut given: Vec<_> = ledger.iter().map(|entry| (entry.kind, entry.amount.amount_minor())).collect();
    given.retain(|(kind, _)| *kind != LedgerKind::Capture);
    given.sort_by_key(|(_, amount)| *amount);
    assert_eq!(given, [(LedgerKind::Refund(part.refund_id), 400), (LedgerKind::Refund(rest.refund_id), 600)]);

    let events = world.events(order_id);
    let told: Vec<PaymentEvent> = events.iter().map(|event| event.data().unwrap()).collect();
    let states: Vec<_> = told.iter().map(|event| (event.status.as_str(), event.refunded.amount_minor())).collect();
    assert_eq!(states, [("captured", 0), ("partially_refunded", 400), ("refunded", 1000)]);
    assert!(events.is_sorted_by(|a, b| a.aggregateversion < b.aggregateversion));
    assert_eq!(world.given_back(), (2, 1000));
}

#[tokio::test]
async fn the_same_refund_again_gives_nothing_back_again() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    let request = give_back(order_id, 400);
    let first = world.refund.execute(request.clone()).await.unwrap();
    assert_eq!(world.refund.execute(request.clone()).await.unwrap(), first);
    let other = RefundRequested { amount: usd(399), ..request };
    let refused = world.refund.execute(other).await.unwrap_err();
    assert!(matches!(refused, RefundError::Refused(RefundRefused::OtherRefund)), "{refused:?}");
    assert_eq!(world.given_back(), (1, 400));
}

#[tokio::test]
async fn a_refund_id_of_another_order_is_refused() {
    let world = World::new();
    let request = give_back(world.captured().await.order_id(), 400);
    world.refund.execute(request.clone()).await.unwrap();
    let other_order = world.captured().await;
    let refused = world.refund.execute(RefundRequested { order_id: other_order.order_id(), ..request }).await;
    assert!(matches!(refused, Err(RefundError::Refused(RefundRefused::OtherRefund))), "{refused:?}");
    assert_eq!(world.stored(other_order.order_id()).await, other_order);
}

#[tokio::test]
async fn what_was_never_taken_is_not_given_back() {
    let world = World::new();
    let refused = world.refund.execute(give_back(new_order(), 1)).await.unwrap_err();
    assert!(matches!(refused, RefundError::NeverCharged), "{refused:?}");
    for method in ["card_declined", "card_timeout_captured"] {
        let details = details(method);
        world.charge.execute(details.clone()).await.unwrap();
        let refused = world.refund.execute(give_back(details.order_id, 1)).await.unwrap_err();
        assert!(matches!(refused, RefundError::Refused(RefundRefused::NotCaptured { .. })), "{refused:?}");
    }
    let order_id = world.captured().await.order_id();
    let refused = world.refund.execute(give_back(order_id, 1001)).await.unwrap_err();
    assert!(matches!(refused, RefundError::Refused(RefundRefused::ExceedsCapture { .. })), "{refused:?}");
    let euros = RefundRequested { amount: money(1, "EUR"), ..give_back(order_id, 1) };
    let refused = world.refund.execute(euros).await.unwrap_err();
    assert!(matches!(refused, RefundError::Refused(RefundRefused::OtherCurrency { .. })), "{refused:?}");
    assert_eq!(world.given_back(), (0, 0));
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_stays_on_record_and_a_repeated_call_finishes_it() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    let request = give_back(order_id, 400);
    for fault in [Fault::RequestLost, Fault::AnswerLost] {
        world.provider.next(&[fault]);
        let failed = world.refund.execute(request.clone()).await.unwrap_err();
        assert!(matches!(failed, RefundError::Provider(_)), "{failed:?}");
        tokio::time::timeout(DEADLINE, world.wake.raised()).await.expect("the reconciler is woken");
        assert_eq!(world.stored(order_id).await.status(), PaymentStatus::Captured);
    }
    let refused = world.refund.execute(give_back(order_id, 601)).await.unwrap_err();
    assert!(matches!(refused, RefundError::Refused(RefundRefused::ExceedsCapture { .. })), "what is on record counts");
    let payment = world.refund.execute(request).await.unwrap();
    assert_eq!(payment.refunded().amount_minor(), 400);
    assert_eq!(world.given_back(), (1, 400));
    assert_eq!(world.event_types(order_id), ["payment.captured", "payment.refunded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_never_give_back_more_than_was_taken() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (refund, request) = (world.refund.clone(), give_back(order_id, 300));
            tokio::spawn(async move { refund.execute(request).await })
        })
        .collect();
    let mut done = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            Err(refused) => {
                assert!(matches!(refused, RefundError::Refused(RefundRefused::ExceedsCapture { .. })), "{refused:?}");
            }
        }
    }
    assert_eq!((done, world.given_back()), (3, (3, 900)));
    assert_eq!(world.stored(order_id).await.refunded().amount_minor(), 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refund_asked_for_many_times_at_once_is_done_once() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    let request = give_back(order_id, 300);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (refund, request) = (world.refund.clone(), request.clone());
            tokio::spawn(async move { refund.execute(request).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().refunded().amount_minor(), 300);
    }
    assert_eq!(world.given_back(), (1, 300));
    assert_eq!(world.event_types(order_id), ["payment.captured", "payment.refunded"]);
}
