//! Charging an order once.

use std::time::Duration;

use contracts::event_data::PaymentEvent;
use payment::application::charge::ChargeError;
use payment::application::ports::{ChargeInstruction, LedgerKind, PaymentProvider as _, PaymentRepository as _};
use payment::domain::payment::ChargeDetails;
use payment::domain::{Payment, PaymentStatus, RetrySchedule};

use crate::flaky_provider::Fault;
use crate::world::{DEADLINE, World, details, new_user, start_of_time, usd};

/// The intent as a process leaves it that died right after writing it.
async fn leave_intent(world: &World, details: &ChargeDetails) {
    let id = contracts::ids::PaymentId::from_uuid(details.order_id.as_uuid());
    let intent = Payment::open(id, details.clone(), start_of_time(), &RetrySchedule::default());
    assert_eq!(world.repository.open(&intent).await.unwrap(), None);
}

fn instruction(details: &ChargeDetails) -> ChargeInstruction {
    ChargeInstruction {
        idempotency_key: details.order_id,
        amount: details.amount.money(),
        method: details.method.clone(),
    }
}

#[tokio::test]
async fn a_good_card_is_captured_recorded_and_told_once() {
    let world = World::new();
    let details = details("card_ok");
    let payment = world.charge.execute(details.clone()).await.unwrap();
    assert_eq!(payment.status(), PaymentStatus::Captured);
    assert!(payment.provider_reference().is_some());
    assert_eq!(world.stored(details.order_id).await, payment);

    let ledger = world.ledger(details.order_id).await;
    assert_eq!(ledger.len(), 1);
    assert_eq!((ledger[0].kind, ledger[0].amount), (LedgerKind::Capture, details.amount.money()));

    let events = world.events(details.order_id);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event_type.as_str(), events[0].source.as_str()), ("payment.captured", "/souk/payment"));
    assert_eq!(events[0].aggregateversion, payment.version());
    let told: PaymentEvent = events[0].data().unwrap();
    assert_eq!((told.order_id, told.user_id, told.amount), (details.order_id, details.user_id, details.amount.money()));
    assert_eq!((told.status.as_str(), told.refunded.amount_minor(), told.decline_reason), ("captured", 0, None));

    assert_eq!(
        world.charge.execute(details.clone()).await.unwrap(),
        payment,
        "a repeated call returns it as it stands"
    );
    assert_eq!((world.times_asked(details.order_id), world.events(details.order_id).len()), (1, 1));
}

#[tokio::test]
async fn a_slow_card_is_captured_in_the_call() {
    let world = World::new();
    let payment = world.charge.execute(details("card_slow")).await.unwrap();
    assert_eq!(payment.status(), PaymentStatus::Captured);
}

#[tokio::test]
async fn a_refused_card_is_declined_with_its_reason_and_leaves_no_ledger_entry() {
    let world = World::new();
    for (method, reason) in
        [("card_declined", "the card was declined"), ("card_insufficient_funds", "insufficient funds")]
    {
        let details = details(method);
        let payment = world.charge.execute(details.clone()).await.unwrap();
        assert_eq!((payment.status(), payment.decline_reason()), (PaymentStatus::Declined, Some(reason)));
        assert_eq!(world.ledger(details.order_id).await, []);
        let events = world.events(details.order_id);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event_type, "payment.declined");
        assert_eq!(events[0].data::<PaymentEvent>().unwrap().decline_reason.as_deref(), Some(reason));
    }
}

#[tokio::test]
async fn the_same_order_with_other_details_is_refused_and_changes_nothing() {
    let world = World::new();
    let first = details("card_ok");
    let payment = world.charge.execute(first.clone()).await.unwrap();
    let others = [
        ChargeDetails { amount: usd(1001), ..first.clone() },
        ChargeDetails { user_id: new_user(), ..first.clone() },
        ChargeDetails { method: "card_slow".parse().unwrap(), ..first.clone() },
    ];
    for other in others {
        let refused = world.charge.execute(other).await.unwrap_err();
        assert!(matches!(refused, ChargeError::Mismatch(_)), "{refused:?}");
    }
    assert_eq!(world.stored(first.order_id).await, payment);
    assert_eq!(world.times_asked(first.order_id), 1);
}

#[tokio::test]
async fn an_unknown_method_is_refused_before_anything_is_written() {
    let world = World::new();
    let details = details("card_of_the_neighbour");
    let refused = world.charge.execute(details.clone()).await.unwrap_err();
    assert!(
        matches!(&refused, ChargeError::UnknownMethod(unknown) if unknown.expected.contains("card_ok")),
        "{refused:?}"
    );
    assert_eq!(world.repository.find_by_order(details.order_id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_make_one_capture_and_one_event() {
    let world = World::new();
    let details = details("card_ok");
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let (charge, details) = (world.charge.clone(), details.clone());
            tokio::spawn(async move { charge.execute(details).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().status(), PaymentStatus::Captured);
    }
    assert_eq!(world.ledger(details.order_id).await.len(), 1);
    assert_eq!(world.event_types(details.order_id), ["payment.captured"]);
}

#[tokio::test]
async fn a_process_that_died_before_asking_is_made_good_by_the_next_call() {
    let world = World::new();
    let details = details("card_ok");
    leave_intent(&world, &details).await;
    let world = world.restart();
    assert_eq!(world.charge.execute(details.clone()).await.unwrap().status(), PaymentStatus::Captured);
    assert_eq!(world.times_asked(details.order_id), 1);
}

#[tokio::test]
async fn a_process_that_died_before_writing_the_outcome_is_made_good_by_the_next_call() {
    let world = World::new();
    let details = details("card_ok");
    leave_intent(&world, &details).await;
    let outcome = world.provider.charge(instruction(&details)).await.unwrap();
    let world = world.restart();
    let payment = world.charge.execute(details.clone()).await.unwrap();
    assert_eq!(world.times_asked(details.order_id), 2, "it asks again");
    assert_eq!(world.provider.charge(instruction(&details)).await.unwrap(), outcome, "and gets the first outcome");
    let reference = payment.provider_reference().cloned().unwrap();
    assert_eq!(outcome, payment::application::ports::ChargeOutcome::Captured { reference });
    assert_eq!(world.event_types(details.order_id), ["payment.captured"]);
}

#[tokio::test]
async fn an_order_whose_provider_does_not_answer_is_unknown_and_looked_at_a_second_later() {
    let world = World::new();
    let details = details("card_timeout_captured");
    let payment = world.charge.execute(details.clone()).await.unwrap();
    assert_eq!(payment.status(), PaymentStatus::Unknown);
    assert_eq!(payment.next_check().unwrap().due_at, start_of_time().plus(Duration::from_secs(1)));
    assert_eq!(world.stored(details.order_id).await, payment);
    assert_eq!(world.event_types(details.order_id), [""; 0], "nothing is told before it is known");
    tokio::time::timeout(DEADLINE, world.wake.raised()).await.expect("the reconciler is woken");
}

#[tokio::test]
async fn a_repeated_call_settles_an_unknown_payment_once_the_provider_did() {
    let world = World::new();
    for (method, status) in
        [("card_timeout_captured", PaymentStatus::Captured), ("card_timeout_declined", PaymentStatus::Declined)]
    {
        let details = details(method);
        for _ in 0..2 {
            let payment = world.charge.execute(details.clone()).await.unwrap();
            assert_eq!(payment.status(), PaymentStatus::Unknown);
        }
        world.clock.advance(Duration::from_secs(3));
        assert_eq!(world.charge.execute(details.clone()).await.unwrap().status(), status);
        assert_eq!(world.events(details.order_id).len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_leaves_the_payment_unknown() {
    let world = World::new();
    world.provider.set_away(true);
    let details = details("card_ok");
    assert_eq!(world.charge.execute(details.clone()).await.unwrap().status(), PaymentStatus::Unknown);
    world.provider.set_away(false);
    assert_eq!(world.charge.execute(details).await.unwrap().status(), PaymentStatus::Captured);
}

#[tokio::test]
async fn a_caller_that_goes_away_half_way_wakes_the_reconciler() {
    let world = World::new();
    world.provider.next(&[Fault::Hangs]);
    let (charge, details) = (world.charge.clone(), details("card_ok"));
    let order_id = details.order_id;
    let call = tokio::spawn(async move { charge.execute(details).await });
    tokio::time::timeout(DEADLINE, world.provider.hanging.notified()).await.unwrap();
    call.abort();
    tokio::time::timeout(DEADLINE, world.wake.raised()).await.expect("the reconciler is woken");
    assert_eq!(world.stored(order_id).await.status(), PaymentStatus::Pending);
    world.after(5).await;
    assert_eq!(world.stored(order_id).await.status(), PaymentStatus::Captured);
}
