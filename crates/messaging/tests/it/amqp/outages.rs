//! Connections that break, and come back.

use std::time::Duration;

use messaging::{Subscription, Verdict};
use tokio::time::Instant;

use super::proxy::Proxy;
use super::{World, ack};
use crate::helpers::{PATIENCE, event, expect_nothing, ids, next, subscription, take};

/// Publishes until it works, as the relay does.
async fn publish(bus: &dyn messaging::EventBus, events: &[contracts::Event]) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = bus.publish(events).await {
        assert!(Instant::now() < deadline, "publishing should work again: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_broker_that_is_away_at_first_is_waited_for() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    proxy.cut();
    let bus = world.at(&proxy.url).bus().await;
    assert!(bus.ping().await.is_err());
    assert!(bus.publish(&[event("x", "1", 1)]).await.is_err());
    let subscribing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.subscribe(subscription("a", &["#"])).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!subscribing.is_finished());
    proxy.restore();
    let mut queue = tokio::time::timeout(PATIENCE, subscribing).await.unwrap().unwrap();
    let sent = event("x", "1", 2);
    publish(bus.as_ref(), std::slice::from_ref(&sent)).await;
    assert_eq!(ids(&next(&mut queue).await), [sent.id]);
    bus.ping().await.unwrap();
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn publishing_fails_fast_in_an_outage_and_consuming_goes_on_after_it() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let bus = world.at(&proxy.url).bus().await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let (settled, unsettled, late) = (event("x", "1", 1), event("x", "2", 1), event("x", "3", 1));
    publish(bus.as_ref(), &[settled.clone(), unsettled.clone()]).await;
    let mut batch = take(&mut queue, 2).await;
    let in_work = batch.pop().unwrap();
    ack(&mut queue, batch).await;
    // An acknowledgement has no answer; what is asked after it on the same path shows that it has arrived.
    bus.ping().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.cut();
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(bus.publish(std::slice::from_ref(&late)).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    assert!(bus.ping().await.is_err());
    expect_nothing(&mut queue).await;
    proxy.restore();
    assert_eq!(ids(&next(&mut queue).await), [unsettled.id], "what was in work comes again, what was settled does not");
    let lost = queue.settle(vec![(in_work, Verdict::Ack)]).await;
    assert!(lost.is_err(), "a delivery of the lost connection can't be settled on the new one");
    publish(bus.as_ref(), std::slice::from_ref(&late)).await;
    assert_eq!(ids(&next(&mut queue).await), [late.id]);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn who_asks_again_and_again_while_the_connection_comes_back_is_one_consumer() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let bus = world.at(&proxy.url).bus().await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    proxy.cut();
    expect_nothing(&mut queue).await;
    let sent = event("x", "1", 1);
    publish(world.bus().await.as_ref(), std::slice::from_ref(&sent)).await;
    proxy.restore();
    let deadline = Instant::now() + PATIENCE;
    let batch = loop {
        // Less than it takes to consume again.
        if let Ok(batch) = tokio::time::timeout(Duration::from_millis(1), queue.next()).await {
            break batch.unwrap();
        }
        assert!(Instant::now() < deadline, "the event should have come");
    };
    assert_eq!(ids(&batch), [sent.id]);
    assert_eq!(world.client().await.consumers("a").await, 1);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_network_that_swallows_everything_ends_a_publish_in_bounded_time_and_is_noticed() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    // The shortest heartbeat, so that the test need not wait for long.
    let separator = if proxy.url.contains('?') { '&' } else { '?' };
    let bus = world.at(&format!("{}{separator}heartbeat=1", proxy.url)).bus().await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let event = event("x", "1", 1);
    publish(bus.as_ref(), std::slice::from_ref(&event)).await;
    ack_all(&mut queue).await;
    proxy.freeze();
    let begun = Instant::now();
    assert!(bus.publish(std::slice::from_ref(&event)).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    proxy.restore();
    publish(bus.as_ref(), std::slice::from_ref(&event)).await;
    // Twice when the first acknowledgement was swallowed as well.
    assert!(ids(&next(&mut queue).await).iter().all(|id| *id == event.id));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn an_instance_misses_nothing_by_a_short_loss_of_its_connection() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let bus = world.at(&proxy.url).bus().await;
    let mut queue = bus.subscribe(Subscription::broadcast("live", "1", &["#"])).await.unwrap();
    proxy.cut();
    expect_nothing(&mut queue).await;
    let meanwhile = event("x", "1", 1);
    publish(world.bus().await.as_ref(), std::slice::from_ref(&meanwhile)).await;
    proxy.restore();
    assert_eq!(ids(&take(&mut queue, 1).await), [meanwhile.id]);
    assert!(!queue.has_missed());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn an_instance_whose_queue_was_gone_is_told_that_it_missed_something_and_hears_what_comes_after() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let bus = world.at(&proxy.url).bus().await;
    let mut queue = bus.subscribe(Subscription::broadcast("live", "1", &["#"])).await.unwrap();
    proxy.cut();
    expect_nothing(&mut queue).await;
    // As the broker does with one that has expired.
    let name = world.name("live.1");
    let client = world.client().await;
    client.channel.queue_delete(name.as_str().into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();
    proxy.restore();
    assert!(next(&mut queue).await.is_empty(), "it is told at once, before anything comes");
    assert!(queue.has_missed() && !queue.has_missed(), "once");
    let after = event("x", "1", 1);
    publish(bus.as_ref(), std::slice::from_ref(&after)).await;
    assert_eq!(ids(&take(&mut queue, 1).await), [after.id]);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn an_ordered_queue_is_taken_over_from_who_lost_its_connection_and_not_taken_back() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let (old, new) = (world.at(&proxy.url).bus().await, world.bus().await);
    let ordered = || Subscription { prefetch: 2, ..Subscription::ordered("o", &["#"]) };
    let mut old_queue = old.subscribe(ordered()).await.unwrap();
    let mut new_queue = new.subscribe(ordered()).await.unwrap();
    let events: Vec<_> = (1..=6).map(|n| event("x", "1", n)).collect();
    publish(new.as_ref(), &events[..4]).await;
    assert_eq!(ids(&take(&mut old_queue, 2).await), [events[0].id, events[1].id]);
    expect_nothing(&mut new_queue).await;
    proxy.cut();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let batch = next(&mut new_queue).await;
        seen.extend(ids(&batch));
        ack(&mut new_queue, batch).await;
    }
    assert_eq!(seen, events[..4].iter().map(|event| event.id).collect::<Vec<_>>());
    proxy.restore();
    let waiting = tokio::spawn(async move { take(&mut old_queue, 2).await });
    publish(new.as_ref(), &events[4..]).await;
    assert_eq!(ids(&take(&mut new_queue, 2).await), [events[4].id, events[5].id]);
    assert!(!waiting.is_finished());
    drop(new_queue);
    assert_eq!(ids(&waiting.await.unwrap()), [events[4].id, events[5].id]);
}

async fn ack_all(queue: &mut Box<dyn messaging::bus::Deliveries>) {
    let batch = next(queue).await;
    ack(queue, batch).await;
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn an_instance_that_comes_back_does_not_undo_the_bindings_of_a_newer_one() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let old = world.at(&proxy.url).bus().await;
    let narrow = |bindings: &[&str]| Subscription { prefetch: 1, ..subscription("a", bindings) };
    let mut old_queue = old.subscribe(narrow(&["order.*"])).await.unwrap();
    let new = world.bus().await;
    let mut new_queue = new.subscribe(narrow(&["product.*"])).await.unwrap();
    proxy.cut();
    expect_nothing(&mut old_queue).await;
    proxy.restore();
    publish(old.as_ref(), &[event("order.created", "1", 1)]).await;
    let wanted = [event("product.created", "1", 1), event("product.created", "2", 1)];
    publish(old.as_ref(), &wanted).await;
    let mut seen = ids(&next(&mut old_queue).await);
    seen.extend(ids(&next(&mut new_queue).await));
    seen.sort();
    let mut expected = wanted.map(|event| event.id);
    expected.sort();
    assert_eq!(seen, expected);
}
