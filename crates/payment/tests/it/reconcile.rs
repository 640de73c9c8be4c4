//! Settling what was left undecided, with a clock that the test moves.

use payment::application::reconcile::Reconciled;
use payment::domain::PaymentStatus;

use crate::flaky_provider::Fault;
use crate::world::{World, details, give_back};

#[tokio::test]
async fn an_unknown_payment_is_looked_at_until_the_provider_settled_it() {
    let world = World::new();
    for (method, status, told) in [
        ("card_timeout_captured", PaymentStatus::Captured, "payment.captured"),
        ("card_timeout_declined", PaymentStatus::Declined, "payment.declined"),
    ] {
        let details = details(method);
        let asked_at = contracts::Clock::now(&world.clock);
        world.charge.execute(details.clone()).await.unwrap();
        assert_eq!(world.after(0).await.looked_at, 0, "not before it is due");
        let first = world.after(1).await;
        assert_eq!((first.looked_at, first.failed), (1, 0));
        assert_eq!(world.stored(details.order_id).await.status(), PaymentStatus::Unknown, "still being processed");
        assert_eq!(first.next_due_at.unwrap().since(asked_at).as_secs(), 3, "the next look comes two seconds later");
        let second = world.after(2).await;
        assert_eq!(second, Reconciled { looked_at: 1, failed: 0, next_due_at: None });
        assert_eq!(world.stored(details.order_id).await.status(), status);
        assert_eq!(world.event_types(details.order_id), [told]);
        assert_eq!(world.times_asked(details.order_id), 1, "it is found, not asked for again");
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing_that_is_undecided() {
    let world = World::new();
    let details = details("card_timeout_captured");
    world.charge.execute(details.clone()).await.unwrap();
    let world = world.restart();
    world.after(3).await;
    let payment = world.stored(details.order_id).await;
    assert_eq!(payment.status(), PaymentStatus::Captured);
    assert_eq!(world.ledger(details.order_id).await.len(), 1);
}

#[tokio::test]
async fn a_charge_that_the_provider_never_heard_of_is_asked_for_again() {
    let world = World::new();
    world.provider.next(&[Fault::RequestLost, Fault::AnswerLost]);
    let details = details("card_ok");
    assert_eq!(world.charge.execute(details.clone()).await.unwrap().status(), PaymentStatus::Unknown);
    assert_eq!(world.times_asked(details.order_id), 0);
    world.after(1).await;
    assert_eq!(world.times_asked(details.order_id), 1);
    assert_eq!(world.stored(details.order_id).await.status(), PaymentStatus::Unknown, "its answer was lost too");
    world.after(2).await;
    assert_eq!(world.stored(details.order_id).await.status(), PaymentStatus::Captured);
    assert_eq!(world.times_asked(details.order_id), 1);
    assert_eq!(world.event_types(details.order_id), ["payment.captured"]);
}

#[tokio::test]
async fn an_intent_is_left_alone_for_five_seconds_and_then_carried_out() {
    let world = World::new();
    world.provider.next(&[Fault::Hangs]);
    let details = details("card_ok");
    // The call is dropped while the provider's answer is on its way: the outcome was never written.
    tokio::select! {
        _ = world.charge.execute(details.clone()) => panic!("it hangs"),
        () = world.provider.hanging.notified() => {}
    }
    let world = world.restart();
    assert_eq!(world.after(4).await.looked_at, 0);
    assert_eq!(world.after(1).await.looked_at, 1);
    assert_eq!(world.stored(details.order_id).await.status(), PaymentStatus::Captured);
    assert_eq!(world.times_asked(details.order_id), 1);
}

#[tokio::test]
async fn looks_grow_rarer_up_to_a_minute_while_the_provider_is_away() {
    let world = World::new();
    world.provider.set_away(true);
    let details = details("card_ok");
    world.charge.execute(details.clone()).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due_at = world.stored(details.order_id).await.next_check().unwrap().due_at;
        let wait = due_at.since(contracts::Clock::now(&world.clock)).as_secs();
        waits.push(wait);
        assert_eq!(world.after(wait - 1).await.looked_at, 0, "not before it is due");
        assert_eq!(world.after(1).await.looked_at, 1);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    world.provider.set_away(false);
    world.after(60).await;
    assert_eq!(world.stored(details.order_id).await.status(), PaymentStatus::Captured);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcilers_and_calls_that_settle_a_payment_at_once_write_one_outcome() {
    let world = World::new();
    let details = details("card_timeout_captured");
    world.charge.execute(details.clone()).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(3));
    let work: Vec<_> = (0..16)
        .map(|n| {
            let (charge, reconcile, details) = (world.charge.clone(), world.reconcile.clone(), details.clone());
            tokio::spawn(async move {
                if n % 2 == 0 {
                    charge.execute(details).await.unwrap();
                } else {
                    reconcile.execute().await.unwrap();
                }
            })
        })
        .collect();
    for task in work {
        task.await.unwrap();
    }
    assert_eq!(world.ledger(details.order_id).await.len(), 1);
    assert_eq!(world.event_types(details.order_id), ["payment.captured"]);
}

#[tokio::test]
async fn a_refund_that_failed_is_carried_out_once_the_provider_is_back() {
    let world = World::new();
    let order_id = world.captured().await.order_id();
    world.provider.next(&[Fault::AnswerLost, Fault::RequestLost]);
    world.refund.execute(give_back(order_id, 400)).await.unwrap_err();
    assert_eq!(world.stored(order_id).await.refunded().amount_minor(), 0);
    let world = world.restart();
    world.provider.next(&[Fault::RequestLost]);
    assert_eq!(world.after(1).await.looked_at, 1);
    assert_eq!(world.stored(order_id).await.status(), PaymentStatus::Captured, "the second try is lost as well");
    let done = world.after(2).await;
    assert_eq!((done.looked_at, done.next_due_at), (1, None));
    assert_eq!(world.stored(order_id).await.status(), PaymentStatus::PartiallyRefunded);
    assert_eq!(world.given_back(), (1, 400), "however often it was asked, the money went back once");
    assert_eq!(world.event_types(order_id), ["payment.captured", "payment.refunded"]);
}

#[tokio::test]
async fn a_damaged_row_is_reported_and_stops_nothing_else() {
    let world = World::new();
    let (damaged, sound) = (details("card_timeout_captured"), details("card_timeout_captured"));
    world.charge.execute(damaged.clone()).await.unwrap();
    world.charge.execute(sound.clone()).await.unwrap();
    let sql = "UPDATE payments SET user_id = 'nobody' WHERE order_id = ?1";
    assert_eq!(world.file("payment.db").execute(sql, [damaged.order_id.to_string()]).unwrap(), 1);
    let done = world.after(3).await;
    assert_eq!((done.looked_at, done.failed), (2, 1));
    assert_eq!(world.stored(sound.order_id).await.status(), PaymentStatus::Captured);
}
