//! Checkouts that go well, and those that are refused.

use contracts::event_data::OrderStatus;
use orders::application::OrderError;
use orders::application::ports::OrderFilter;
use orders::domain::MissingItem;

use crate::helpers::{Held, PRICE, STOCK, World, request, sku, user};

#[tokio::test]
async fn an_order_is_confirmed_charged_and_taken_off_the_shelf() {
    let world = World::new();
    let outcome = world.ordering.place_order(request(2, "card_ok", None)).await.unwrap();
    assert!(outcome.decided);
    assert_eq!((outcome.order.status(), outcome.order.total().amount_minor()), (OrderStatus::Confirmed, 2 * PRICE));
    world.settle().await;
    assert_eq!(world.inventory.state(outcome.order.id()), Some(Held::Committed));
    assert_eq!(world.payments.captured.lock().unwrap().len(), 1);
    let timeline = world.ordering.timeline(outcome.order.id()).await.unwrap();
    let statuses: Vec<_> = timeline.iter().map(|entry| (entry.status, entry.version)).collect();
    assert_eq!(statuses, [(OrderStatus::Pending, 1), (OrderStatus::Confirmed, 2)]);
}

#[tokio::test]
async fn out_of_stock_is_rejected_with_what_is_missing_and_nobody_is_charged() {
    let world = World::new();
    let Err(OrderError::OutOfStock { order, missing }) =
        world.ordering.place_order(request(11, "card_ok", Some("k"))).await
    else {
        panic!("11 of {STOCK} should be refused");
    };
    assert_eq!(missing, [MissingItem { sku: sku("A"), requested: 11, available: STOCK }]);
    assert_eq!(world.status(order.id()).await, OrderStatus::Rejected);
    assert!(world.payments.captured.lock().unwrap().is_empty());
    let again = world.ordering.place_order(request(11, "card_ok", Some("k"))).await.unwrap_err();
    assert!(matches!(again, OrderError::OutOfStock { order: same, .. } if same.id() == order.id()));
}

#[tokio::test]
async fn a_declined_card_cancels_the_order_and_frees_the_stock() {
    let world = World::new();
    let refused = world.ordering.place_order(request(2, "card_declined", Some("k"))).await.unwrap_err();
    let OrderError::Declined { order, .. } = refused else { panic!("{refused:?}") };
    world.settle().await;
    assert_eq!(world.status(order.id()).await, OrderStatus::Cancelled);
    assert_eq!(world.inventory.available(&sku("A")), STOCK);
    let again = world.ordering.place_order(request(2, "card_declined", Some("k"))).await.unwrap_err();
    assert!(matches!(again, OrderError::Declined { order: same, .. } if same.id() == order.id()));
}

#[tokio::test]
async fn unknown_products_are_refused_and_nothing_is_written() {
    let world = World::new();
    let mut wanted = request(1, "card_ok", Some("k"));
    wanted.items[0].0 = sku("NOPE");
    assert!(matches!(world.ordering.place_order(wanted).await, Err(OrderError::UnknownProducts(_))));
    assert!(world.repository.list(OrderFilter::default(), 10).await.unwrap().is_empty());
    assert!(world.repository.find_key(user(1), "k", crate::helpers::start_of_time()).await.unwrap().is_none());
}

#[tokio::test]
async fn one_key_makes_one_order_however_often_and_at_once_it_is_sent() {
    let world = World::new();
    let calls = (0..8).map(|_| world.ordering.place_order(request(1, "card_ok", Some("k"))));
    let outcomes = futures::future::join_all(calls).await;
    for outcome in &outcomes {
        assert!(matches!(outcome, Ok(_) | Err(OrderError::InProgress)), "{outcome:?}");
    }
    world.settle().await;
    assert_eq!(world.repository.list(OrderFilter::default(), 10).await.unwrap().len(), 1);
    assert_eq!(world.payments.captured.lock().unwrap().len(), 1);
    let other_body = world.ordering.place_order(request(2, "card_ok", Some("k"))).await;
    assert!(matches!(other_body, Err(OrderError::KeyReused)), "{other_body:?}");
    let mut other_user = request(1, "card_ok", Some("k"));
    other_user.user_id = user(2);
    world.ordering.place_order(other_user).await.unwrap();
    assert_eq!(world.repository.list(OrderFilter::default(), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unknown_payment_is_open_until_its_event_settles_it() {
    let world = World::new();
    let outcome = world.ordering.place_order(request(1, "card_timeout_captured", Some("k"))).await.unwrap();
    assert!(!outcome.decided);
    let again = world.ordering.place_order(request(1, "card_timeout_captured", Some("k"))).await.unwrap();
    assert_eq!((again.order.id(), again.decided), (outcome.order.id(), false), "the same answer as the first time");
    *world.payments.settled.lock().unwrap() = true;
    world.ordering.payment_settled(outcome.order.id(), true).await.unwrap();
    world.idle().await;
    assert_eq!(world.status(outcome.order.id()).await, OrderStatus::Confirmed);
}

#[tokio::test]
async fn an_unknown_payment_is_asked_about_even_if_its_event_never_comes() {
    let world = World::new();
    let outcome = world.ordering.place_order(request(1, "card_timeout_captured", None)).await.unwrap();
    *world.payments.settled.lock().unwrap() = true;
    world.settle().await;
    assert_eq!(world.status(outcome.order.id()).await, OrderStatus::Confirmed);
}

#[tokio::test]
async fn a_confirmed_order_can_be_cancelled_until_it_ships_and_everything_goes_back() {
    let world = World::new();
    let order = world.ordering.place_order(request(3, "card_ok", None)).await.unwrap().order;
    world.settle().await;
    let outcome = world.ordering.cancel_order(order.id(), "changed my mind".to_owned()).await.unwrap();
    assert_eq!((outcome.order.status(), outcome.decided), (OrderStatus::Cancelled, true));
    world.ordering.cancel_order(order.id(), "again".to_owned()).await.unwrap();
    world.settle().await;
    assert!(world.payments.refunded.lock().unwrap().contains_key(&order.id()));
    assert_eq!(world.inventory.available(&sku("A")), STOCK);

    let shipped = world.ordering.place_order(request(1, "card_ok", None)).await.unwrap().order;
    world.settle().await;
    world.ordering.ship_order(shipped.id()).await.unwrap();
    let refused = world.ordering.cancel_order(shipped.id(), "too late".to_owned()).await;
    assert!(matches!(refused, Err(OrderError::Illegal(_))), "{refused:?}");
}

#[tokio::test]
async fn an_order_cancelled_while_its_payment_is_open_is_never_confirmed_and_a_capture_goes_back() {
    let world = World::new();
    let order = world.ordering.place_order(request(1, "card_timeout_captured", None)).await.unwrap().order;
    let outcome = world.ordering.cancel_order(order.id(), "changed my mind".to_owned()).await.unwrap();
    assert!(!outcome.decided);
    *world.payments.settled.lock().unwrap() = true;
    world.settle().await;
    assert_eq!(world.status(order.id()).await, OrderStatus::Cancelled);
    assert!(world.payments.refunded.lock().unwrap().contains_key(&order.id()));
    assert_eq!(world.inventory.available(&sku("A")), STOCK);
}

#[tokio::test]
async fn a_capture_found_on_an_order_that_had_ended_is_refunded_once() {
    let world = World::new();
    let refused = world.ordering.place_order(request(1, "card_declined", None)).await.unwrap_err();
    let OrderError::Declined { order, .. } = refused else { panic!("{refused:?}") };
    world.settle().await;
    world.payments.captured.lock().unwrap().insert(order.id());
    for _ in 0..2 {
        world.ordering.payment_settled(order.id(), true).await.unwrap();
        world.settle().await;
    }
    assert!(world.payments.refunded.lock().unwrap().contains_key(&order.id()));
    assert_eq!(world.status(order.id()).await, OrderStatus::Cancelled);
}

#[tokio::test]
async fn a_refund_before_shipping_returns_the_goods_and_one_after_does_not() {
    let world = World::new();
    for (ships, back) in [(false, STOCK), (true, STOCK - 1)] {
        let order = world.ordering.place_order(request(1, "card_ok", None)).await.unwrap().order;
        world.settle().await;
        if ships {
            world.ordering.ship_order(order.id()).await.unwrap();
            world.ordering.deliver_order(order.id()).await.unwrap();
        }
        let outcome = world.ordering.refund_order(order.id(), "broken".to_owned()).await.unwrap();
        assert_eq!((outcome.order.status(), outcome.decided), (OrderStatus::Refunded, true));
        world.settle().await;
        world.ordering.refund_order(order.id(), "again".to_owned()).await.unwrap();
        assert_eq!(world.inventory.available(&sku("A")), back);
    }
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_confirmed_without_a_charge_and_cancelled_without_a_refund() {
    let world = World::new();
    let mut free = request(1, "card_declined", None);
    free.items[0].0 = sku("FREE");
    let order = world.ordering.place_order(free).await.unwrap().order;
    assert_eq!(order.status(), OrderStatus::Confirmed);
    world.settle().await;
    world.ordering.cancel_order(order.id(), "changed my mind".to_owned()).await.unwrap();
    world.settle().await;
    assert!(world.payments.captured.lock().unwrap().is_empty());
    assert_eq!(world.inventory.available(&sku("FREE")), STOCK);
}

#[tokio::test]
async fn an_order_cancelled_before_it_was_confirmed_is_no_success_and_one_cancelled_later_was() {
    let world = World::new();
    let early = world.ordering.place_order(request(1, "card_timeout_captured", Some("early"))).await.unwrap().order;
    world.ordering.cancel_order(early.id(), "changed my mind".to_owned()).await.unwrap();
    *world.payments.settled.lock().unwrap() = true;
    world.settle().await;
    let answer = world.ordering.place_order(request(1, "card_timeout_captured", Some("early"))).await;
    let Err(OrderError::Cancelled { order }) = answer else { panic!("{answer:?}") };
    assert_eq!((order.id(), order.status()), (early.id(), OrderStatus::Cancelled));

    let late = world.ordering.place_order(request(1, "card_ok", Some("late"))).await.unwrap().order;
    world.ordering.cancel_order(late.id(), "changed my mind".to_owned()).await.unwrap();
    world.settle().await;
    let again = world.ordering.place_order(request(1, "card_ok", Some("late"))).await.unwrap();
    assert_eq!((again.order.id(), again.order.status(), again.decided), (late.id(), OrderStatus::Cancelled, true));
}

#[tokio::test]
async fn refunds_asked_for_at_once_are_one_refund_and_no_error() {
    let world = World::new();
    for _ in 0..5 {
        // Not settled: the saga that takes the goods off the shelf is still writing, too.
        let order = world.ordering.place_order(request(1, "card_ok", None)).await.unwrap().order;
        let refunds = (0..8).map(|_| world.ordering.refund_order(order.id(), "broken".to_owned()));
        for refund in futures::future::join_all(refunds).await {
            refund.unwrap();
        }
        world.settle().await;
        assert_eq!(world.status(order.id()).await, OrderStatus::Refunded);
    }
}

#[tokio::test]
async fn an_order_shipped_by_several_at_once_ships_once_and_the_others_hear_why_not() {
    let world = World::new();
    for _ in 0..5 {
        let order = world.ordering.place_order(request(1, "card_ok", None)).await.unwrap().order;
        let ships = futures::future::join_all((0..8).map(|_| world.ordering.ship_order(order.id()))).await;
        assert_eq!(ships.iter().filter(|ship| ship.is_ok()).count(), 1, "{ships:?}");
        let others: Vec<_> = ships.into_iter().filter_map(Result::err).collect();
        assert!(others.iter().all(|error| matches!(error, OrderError::Illegal(_))), "{others:?}");
        world.settle().await;
    }
}
