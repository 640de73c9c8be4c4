//! Messages as they lie on the broker, and what the broker does on its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::timestamp::SystemClock;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;
use messaging::amqp::AmqpBus;
use messaging::{EventBus, RetryPolicy, Subscription, Verdict};

use super::{World, ack};
use crate::helpers::{event, expect_nothing, ids, next, subscription, take};

fn header<'a>(properties: &'a BasicProperties, name: &str) -> &'a AMQPValue {
    properties.headers().as_ref().unwrap().inner().get(name).unwrap()
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_message_is_a_persistent_cloud_event_that_other_clients_understand() {
    let world = World::new();
    let bus = AmqpBus::open(&world.url(), Arc::new(SystemClock)).unwrap();
    bus.declare(&subscription("a", &["order.*"])).await.unwrap();
    let sent = event("order.created", "1", 1);
    bus.publish(std::slice::from_ref(&sent)).await.unwrap();
    let message = world.client().await.get("a").await;
    assert_eq!(message.exchange.as_str(), world.name("events"));
    assert_eq!(message.routing_key.as_str(), "order.created");
    let properties = &message.properties;
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), sent.id.to_string());
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(message.data, serde_json::to_vec(&sent).unwrap());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_dead_letter_says_why_and_where_it_came_from_after_every_delay_was_tried() {
    let world = World::new();
    let bus = world.bus().await;
    let retry = RetryPolicy { delays: [10, 20, 10].map(Duration::from_millis).to_vec() };
    let mut queue = bus.subscribe(Subscription { retry, ..subscription("a", &["#"]) }).await.unwrap();
    let tired = event("order.created", "1", 1);
    bus.publish(std::slice::from_ref(&tired)).await.unwrap();
    for attempt in 1..=4 {
        let delivery = next(&mut queue).await.remove(0);
        assert_eq!(delivery.attempt, attempt);
        queue.settle(vec![(delivery, Verdict::Retry("no täste today ".repeat(200)))]).await.unwrap();
    }
    let letter = world.client().await.get("a.dead").await;
    assert_eq!(letter.data, serde_json::to_vec(&tired).unwrap());
    assert_eq!(letter.properties.message_id().as_ref().unwrap().as_str(), tired.id.to_string());
    assert_eq!(*header(&letter.properties, "x-souk-attempt"), AMQPValue::LongUInt(5));
    assert_eq!(*header(&letter.properties, "x-souk-routing-key"), AMQPValue::LongString("order.created".into()));
    let AMQPValue::LongString(why) = header(&letter.properties, "x-souk-error") else { panic!("no text") };
    assert!(why.to_string().starts_with("no täste today "));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_body_that_is_no_event_is_delivered_as_such_and_can_be_buried_and_looked_at() {
    let world = World::new();
    let bus = world.bus().await;
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    let client = world.client().await;
    let (exchange, key) = (world.name("events").as_str().into(), "x".into());
    let options = BasicPublishOptions::default();
    client
        .channel
        .basic_publish(exchange, key, options, b"\xffno json", BasicProperties::default())
        .await
        .unwrap()
        .await
        .unwrap();
    let delivery = next(&mut queue).await.remove(0);
    assert!(delivery.event.is_err());
    queue.settle(vec![(delivery, Verdict::Dead("no event".to_owned()))]).await.unwrap();
    let mut dead = bus.subscribe(subscription("a.dead", &[])).await.unwrap();
    for verdict in [Verdict::Retry("still none".to_owned()), Verdict::Dead("still none".to_owned()), Verdict::Ack] {
        let letter = next(&mut dead).await.remove(0);
        assert!(letter.event.is_err());
        dead.settle(vec![(letter, verdict)]).await.unwrap();
    }
    expect_nothing(&mut dead).await;
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_message_that_kills_its_consumers_again_and_again_is_given_up_by_the_broker_as_a_dead_letter() {
    let world = World::new();
    let bus = world.bus().await;
    let deadly = event("x", "1", 1);
    let mut queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    bus.publish(std::slice::from_ref(&deadly)).await.unwrap();
    for _ in 0..=20 {
        assert_eq!(ids(&next(&mut queue).await), [deadly.id]);
        // Gone without a verdict, as after a crash.
        drop(queue);
        queue = bus.subscribe(subscription("a", &["#"])).await.unwrap();
    }
    expect_nothing(&mut queue).await;
    let mut dead = bus.subscribe(subscription("a.dead", &[])).await.unwrap();
    assert_eq!(ids(&next(&mut dead).await), [deadly.id]);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_large_batch_arrives_whole_and_in_order_and_any_part_of_it_can_be_settled_first() {
    let bus = World::new().bus().await;
    let wide = Subscription { prefetch: 1000, ..subscription("a", &["#"]) };
    let mut queue = bus.subscribe(wide.clone()).await.unwrap();
    let events: Vec<_> = (1..=1000).map(|n| event("x", "1", n)).collect();
    bus.publish(&events).await.unwrap();
    let mut taken = take(&mut queue, 1000).await;
    assert_eq!(ids(&taken), events.iter().map(|event| event.id).collect::<Vec<_>>());
    let second_half = taken.split_off(500);
    let odd = taken.into_iter().skip(1).step_by(2).collect();
    ack(&mut queue, second_half).await;
    ack(&mut queue, odd).await;
    drop(queue);
    let mut queue = bus.subscribe(wide).await.unwrap();
    let left: HashSet<_> = ids(&take(&mut queue, 250).await).into_iter().collect();
    assert_eq!(left, events[..500].iter().step_by(2).map(|event| event.id).collect());
    expect_nothing(&mut queue).await;
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn instances_that_declare_different_bindings_at_once_leave_those_of_one_of_them() {
    let world = World::new();
    let mut declaring = Vec::new();
    for n in 0..6 {
        let bus = AmqpBus::open(&world.url(), Arc::new(SystemClock)).unwrap();
        declaring.push(tokio::spawn(async move {
            bus.declare(&subscription("a", &["all", &format!("only.{n}")])).await.unwrap();
        }));
    }
    for declared in declaring {
        declared.await.unwrap();
    }
    let bus = world.bus().await;
    let wanted = event("all", "1", 1);
    let mut events = vec![wanted.clone()];
    events.extend((0..6).map(|n| event(&format!("only.{n}"), "1", 1)));
    bus.publish(&events).await.unwrap();
    // Declares again, but what was published before is what tells.
    let mut queue = bus.subscribe(subscription("a", &["all"])).await.unwrap();
    assert_eq!(ids(&take(&mut queue, 2).await)[0], wanted.id);
    expect_nothing(&mut queue).await;
}
