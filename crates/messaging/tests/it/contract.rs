//! What every event bus must do, written once, run against each.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use messaging::{EventBus, RetryPolicy, Subscription, Verdict};
use tempfile::TempDir;

use crate::helpers::{event, expect_nothing, ids, memory_bus, next, sqlite_bus, subscription, take};

async fn every_bound_queue_gets_each_event_once_in_order(bus: Arc<dyn EventBus>) {
    let mut orders = bus.subscribe(subscription("a", &["order.*", "order.created"])).await.unwrap();
    let mut all = bus.subscribe(subscription("b", &["#"])).await.unwrap();
    let events = [event("order.created", "1", 1), event("product.created", "2", 1), event("order.confirmed", "1", 2)];
    bus.publish(&events).await.unwrap();
    assert_eq!(ids(&take(&mut orders, 2).await), [events[0].id, events[2].id]);
    assert_eq!(ids(&take(&mut all, 3).await), [events[0].id, events[1].id, events[2].id]);
}

async fn events_are_kept_while_nobody_consumes(bus: Arc<dyn EventBus>) {
    drop(bus.subscribe(subscription("a", &["order.*"])).await.unwrap());
    let kept = event("order.created", "1", 1);
    bus.publish(std::slice::from_ref(&kept)).await.unwrap();
    let mut later = bus.subscribe(subscription("a", &["order.*"])).await.unwrap();
    assert_eq!(ids(&next(&mut later).await), [kept.id]);
}

async fn what_was_not_settled_comes_again_and_what_was_does_not(bus: Arc<dyn EventBus>) {
    let mut first = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let events = [event("x", "1", 1), event("x", "2", 1)];
    bus.publish(&events).await.unwrap();
    let mut taken = take(&mut first, 2).await;
    let acked = taken.remove(0);
    first.settle(vec![(acked, Verdict::Ack)]).await.unwrap();
    drop(first);
    let mut second = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    assert_eq!(ids(&next(&mut second).await), [events[1].id]);
    expect_nothing(&mut second).await;
}

async fn a_retry_comes_again_later_and_holds_up_nothing(bus: Arc<dyn EventBus>) {
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let events = [event("x", "1", 1), event("x", "2", 1)];
    bus.publish(&events[..1]).await.unwrap();
    let delivery = next(&mut queue).await.remove(0);
    assert_eq!(delivery.attempt, 1);
    bus.publish(&events[1..]).await.unwrap();
    queue.settle(vec![(delivery, Verdict::Retry("not yet".to_owned()))]).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        for delivery in next(&mut queue).await {
            seen.push((delivery.event.as_ref().unwrap().id, delivery.attempt));
            queue.settle(vec![(delivery, Verdict::Ack)]).await.unwrap();
        }
    }
    assert_eq!(seen.iter().copied().collect::<HashSet<_>>(), HashSet::from([(events[1].id, 1), (events[0].id, 2)]));
}

async fn after_the_last_retry_and_at_once_when_hopeless_a_message_is_a_dead_letter(bus: Arc<dyn EventBus>) {
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let (tired, hopeless) = (event("x", "1", 1), event("x", "2", 1));
    bus.publish(&[tired.clone(), hopeless.clone()]).await.unwrap();
    let mut buried = 0;
    while buried < 2 {
        for delivery in next(&mut queue).await {
            let id = delivery.event.as_ref().unwrap().id;
            let verdict = if id == hopeless.id { Verdict::Dead("no".into()) } else { Verdict::Retry("no".into()) };
            buried += usize::from(id == hopeless.id || delivery.attempt == 2);
            queue.settle(vec![(delivery, verdict)]).await.unwrap();
        }
    }
    expect_nothing(&mut queue).await;
    let mut dead = bus.subscribe(subscription("a.dead", &[])).await.unwrap();
    let letters: HashSet<_> = ids(&take(&mut dead, 2).await).into_iter().collect();
    assert_eq!(letters, HashSet::from([tired.id, hopeless.id]));
}

async fn consumers_of_one_group_share_the_work(bus: Arc<dyn EventBus>) {
    let narrow = || Subscription { prefetch: 3, ..subscription("a", &["#"]) };
    let mut one = bus.subscribe(narrow()).await.unwrap();
    let mut two = bus.subscribe(narrow()).await.unwrap();
    let events: Vec<_> = (0..6).map(|n| event("x", &n.to_string(), 1)).collect();
    bus.publish(&events).await.unwrap();
    let first = take(&mut one, 3).await;
    let second = take(&mut two, 3).await;
    let seen: HashSet<_> = ids(&first).into_iter().chain(ids(&second)).collect();
    assert_eq!((first.len(), second.len(), seen.len()), (3, 3, 6), "each message went to exactly one of them");
}

async fn a_waiting_consumer_hears_at_once(bus: Arc<dyn EventBus>) {
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut queue).await });
    tokio::task::yield_now().await;
    let sent = event("x", "1", 1);
    bus.publish(std::slice::from_ref(&sent)).await.unwrap();
    assert_eq!(ids(&waiting.await.unwrap()), [sent.id]);
}

async fn whoever_waits_for_dead_letters_hears_at_once(bus: Arc<dyn EventBus>) {
    let mut dead = bus.subscribe(subscription("a.dead", &[])).await.unwrap();
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut dead).await });
    let hopeless = event("x", "1", 1);
    bus.publish(std::slice::from_ref(&hopeless)).await.unwrap();
    for delivery in next(&mut queue).await {
        queue.settle(vec![(delivery, Verdict::Dead("no".into()))]).await.unwrap();
    }
    assert_eq!(ids(&waiting.await.unwrap()), [hopeless.id]);
}

async fn bindings_are_replaced_by_the_next_declaration(bus: Arc<dyn EventBus>) {
    drop(bus.subscribe(subscription("a", &["order.*"])).await.unwrap());
    let mut queue = bus.subscribe(subscription("a", &["product.*"])).await.unwrap();
    let wanted = event("product.created", "2", 1);
    bus.publish(&[event("order.created", "1", 1), wanted.clone()]).await.unwrap();
    assert_eq!(ids(&next(&mut queue).await), [wanted.id]);
}

fn instance(id: &str, bindings: &[&str]) -> Subscription {
    Subscription::broadcast("live", id, bindings)
}

async fn every_instance_gets_every_event_that_it_wants_and_a_group_beside_it_too(bus: Arc<dyn EventBus>) {
    let mut one = bus.subscribe(instance("1", &["order.*", "#.created"])).await.unwrap();
    let mut two = bus.subscribe(instance("2", &["#"])).await.unwrap();
    let mut group = bus.subscribe(subscription("a", &["order.*"])).await.unwrap();
    let events = [event("order.created", "1", 1), event("user.banned", "2", 1), event("order.confirmed", "1", 2)];
    bus.publish(&events[..2]).await.unwrap();
    bus.publish(&events[2..]).await.unwrap();
    assert_eq!(ids(&take(&mut one, 2).await), [events[0].id, events[2].id]);
    assert_eq!(ids(&take(&mut two, 3).await), [events[0].id, events[1].id, events[2].id]);
    assert_eq!(ids(&take(&mut group, 2).await), [events[0].id, events[2].id]);
    assert!(!one.has_missed() && !two.has_missed() && !group.has_missed());
}

async fn what_an_instance_cant_use_is_gone_and_no_dead_letter(bus: Arc<dyn EventBus>) {
    let mut queue = bus.subscribe(instance("1", &["#"])).await.unwrap();
    bus.publish(&[event("x", "1", 1), event("x", "2", 1), event("x", "3", 1)]).await.unwrap();
    let verdicts = [Verdict::Ack, Verdict::Retry("not yet".to_owned()), Verdict::Dead("never".to_owned())];
    let settled = take(&mut queue, 3).await.into_iter().zip(verdicts).collect();
    queue.settle(settled).await.unwrap();
    expect_nothing(&mut queue).await;
    let mut dead = bus.subscribe(subscription("live.1.dead", &[])).await.unwrap();
    expect_nothing(&mut dead).await;
}

async fn an_instance_takes_no_more_at_once_than_it_wants(bus: Arc<dyn EventBus>) {
    let narrow = Subscription { prefetch: 2, ..instance("1", &["#"]) };
    let mut queue = bus.subscribe(narrow).await.unwrap();
    let events: Vec<_> = (1..=5).map(|n| event("x", "1", n)).collect();
    bus.publish(&events).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        let batch = take(&mut queue, 2.min(events.len() - seen.len())).await;
        assert!(batch.len() <= 2);
        if batch.len() == 2 {
            expect_nothing(&mut queue).await;
        }
        seen.extend(ids(&batch));
        queue.settle(batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    }
    assert_eq!(seen, events.iter().map(|event| event.id).collect::<Vec<_>>());
}

fn ordered(bindings: &[&str]) -> Subscription {
    let retry = RetryPolicy { delays: vec![Duration::from_millis(10)] };
    Subscription { retry, ..Subscription::ordered("o", bindings) }
}

async fn one_consumer_at_a_time_has_an_ordered_queue_and_gets_all_in_order(bus: Arc<dyn EventBus>) {
    let mut first = bus.subscribe(Subscription { prefetch: 5, ..ordered(&["#"]) }).await.unwrap();
    let mut second = bus.subscribe(ordered(&["#"])).await.unwrap();
    let events: Vec<_> = (1..=30).map(|n| event("x", &(n % 3).to_string(), n)).collect();
    for batch in events.chunks(10) {
        bus.publish(batch).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        expect_nothing(&mut second).await;
        let batch = next(&mut first).await;
        seen.extend(ids(&batch));
        first.settle(batch.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    }
    assert_eq!(seen, events.iter().map(|event| event.id).collect::<Vec<_>>());
}

async fn who_waits_takes_an_ordered_queue_over_at_once_and_goes_on_where_it_was_left(bus: Arc<dyn EventBus>) {
    let mut first = bus.subscribe(Subscription { prefetch: 8, ..ordered(&["#"]) }).await.unwrap();
    let mut second = bus.subscribe(ordered(&["#"])).await.unwrap();
    let events: Vec<_> = (1..=20).map(|n| event("x", "1", n)).collect();
    bus.publish(&events).await.unwrap();
    let mut held = take(&mut first, 8).await;
    let rest = held.split_off(3);
    first.settle(held.into_iter().map(|delivery| (delivery, Verdict::Ack)).collect()).await.unwrap();
    let waiting = tokio::spawn(async move { take(&mut second, 17).await });
    tokio::task::yield_now().await;
    assert_eq!(rest.len(), 5, "in work when it ends");
    drop(first);
    let taken = ids(&waiting.await.unwrap());
    assert_eq!(taken, events[3..].iter().map(|event| event.id).collect::<Vec<_>>(), "nothing lost, and in order");
}

async fn an_ordered_queue_is_kept_while_nobody_consumes_and_bound_like_any_other(bus: Arc<dyn EventBus>) {
    drop(bus.subscribe(ordered(&["order.*"])).await.unwrap());
    let kept = [event("order.created", "1", 1), event("product.created", "2", 1), event("order.confirmed", "1", 2)];
    bus.publish(&kept).await.unwrap();
    let mut later = bus.subscribe(ordered(&["order.*"])).await.unwrap();
    assert_eq!(ids(&take(&mut later, 2).await), [kept[0].id, kept[2].id]);
}

async fn what_fails_lets_the_rest_of_an_ordered_queue_pass_and_is_buried_in_the_end(bus: Arc<dyn EventBus>) {
    let mut queue = bus.subscribe(Subscription { prefetch: 1, ..ordered(&["#"]) }).await.unwrap();
    let events: Vec<_> = (1..=3).map(|n| event("x", "1", n)).collect();
    bus.publish(&events).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        for delivery in next(&mut queue).await {
            let id = delivery.event.as_ref().unwrap().id;
            seen.push((id, delivery.attempt));
            let verdict = if id == events[0].id { Verdict::Retry("no".to_owned()) } else { Verdict::Ack };
            queue.settle(vec![(delivery, verdict)]).await.unwrap();
        }
    }
    assert_eq!(seen[0], (events[0].id, 1));
    let passed: Vec<_> = seen.iter().filter(|(id, _)| *id != events[0].id).map(|(id, _)| *id).collect();
    assert_eq!(passed, [events[1].id, events[2].id]);
    assert!(seen.contains(&(events[0].id, 2)), "{seen:?}");
    let mut dead = bus.subscribe(subscription("o.dead", &[])).await.unwrap();
    assert_eq!(ids(&next(&mut dead).await), [events[0].id]);
}

macro_rules! event_bus_contract {
    ($(#[$attribute:meta])* $adapter:ident, $open:path) => {
        event_bus_contract!(
            [$(#[$attribute])*] $adapter, $open,
            every_bound_queue_gets_each_event_once_in_order
            events_are_kept_while_nobody_consumes
            what_was_not_settled_comes_again_and_what_was_does_not
            a_retry_comes_again_later_and_holds_up_nothing
            after_the_last_retry_and_at_once_when_hopeless_a_message_is_a_dead_letter
            consumers_of_one_group_share_the_work
            a_waiting_consumer_hears_at_once
            whoever_waits_for_dead_letters_hears_at_once
            bindings_are_replaced_by_the_next_declaration
            every_instance_gets_every_event_that_it_wants_and_a_group_beside_it_too
            what_an_instance_cant_use_is_gone_and_no_dead_letter
            an_instance_takes_no_more_at_once_than_it_wants
            one_consumer_at_a_time_has_an_ordered_queue_and_gets_all_in_order
            who_waits_takes_an_ordered_queue_over_at_once_and_goes_on_where_it_was_left
            an_ordered_queue_is_kept_while_nobody_consumes_and_bound_like_any_other
            what_fails_lets_the_rest_of_an_ordered_queue_pass_and_is_buried_in_the_end
        );
    };
    ($attributes:tt $adapter:ident, $open:path, $($case:ident)*) => {
        mod $adapter {
            use super::*;
            $(event_bus_contract!(@case $attributes $open, $case);)*
        }
    };
    (@case [$(#[$attribute:meta])*] $open:path, $case:ident) => {
        #[tokio::test]
        $(#[$attribute])*
        async fn $case() {
            let folder = TempDir::new().unwrap();
            super::$case($open(&folder).await).await;
        }
    };
}

event_bus_contract!(memory, memory_bus);
event_bus_contract!(sqlite, sqlite_bus);

#[cfg(feature = "amqp")]
event_bus_contract!(
    #[ignore = "needs SOUK_TEST_AMQP_URL"]
    amqp,
    crate::amqp::bus_in
);

#[tokio::test]
async fn sqlite_keeps_messages_and_bindings_when_it_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let bus = sqlite_bus(&folder).await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let (before, after) = (event("x", "1", 1), event("x", "2", 1));
    bus.publish(std::slice::from_ref(&before)).await.unwrap();
    assert_eq!(next(&mut queue).await.len(), 1, "in work when the process ends");
    drop((bus, queue));
    let bus = sqlite_bus(&folder).await;
    bus.publish(std::slice::from_ref(&after)).await.unwrap();
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    assert_eq!(ids(&take(&mut queue, 2).await), [before.id, after.id]);
}

#[tokio::test]
async fn an_engine_without_a_driver_is_refused_by_name() {
    let clock = Arc::new(contracts::timestamp::SystemClock);
    let lacking = if cfg!(feature = "amqp") { &["kafka"][..] } else { &["kafka", "amqp"] };
    for scheme in lacking {
        let url = format!("{scheme}://localhost");
        let refused = messaging::connect(&url, clock.clone()).await.err().unwrap().to_string();
        assert!(refused.contains(scheme) && refused.contains("sqlite"), "{refused}");
    }
    let refused = messaging::connect("memory://", clock).await.err().unwrap().to_string();
    assert!(refused.contains("for tests alone") && refused.contains("sqlite"), "{refused}");
}
