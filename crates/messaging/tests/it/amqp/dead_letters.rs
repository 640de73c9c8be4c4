//! Dead letters as only RabbitMQ makes them.

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use messaging::Verdict;
use messaging::dead_letters::{DeadLetterError, Which};

use super::World;
use super::proxy::Proxy;
use crate::helpers::{event, next, subscription};

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_letter_whose_group_is_gone_stays_where_it_is() {
    let world = World::new();
    let broker = world.open().await;
    let mut queue = broker.bus.subscribe(subscription("a", &["#"])).await.unwrap();
    broker.bus.publish(&[event("x", "1", 1)]).await.unwrap();
    let letter = next(&mut queue).await.remove(0);
    queue.settle(vec![(letter, Verdict::Dead("no".to_owned()))]).await.unwrap();
    drop(queue);
    let client = world.client().await;
    client.channel.queue_delete(world.name("a").as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let refused = broker.dead_letters.replay("a", &Which::All).await.unwrap_err();
    assert!(matches!(&refused, DeadLetterError::NoSuchGroup(group) if group == "a"), "{refused:?}");
    assert_eq!(broker.dead_letters.list("a", 10).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn what_the_broker_gave_up_by_itself_says_so_and_what_is_no_event_can_be_handled_too() {
    let world = World::new();
    let broker = world.open().await;
    let deadly = event("x", "1", 1);
    let mut queue = broker.bus.subscribe(subscription("a", &["#"])).await.unwrap();
    broker.bus.publish(std::slice::from_ref(&deadly)).await.unwrap();
    for _ in 0..=20 {
        next(&mut queue).await;
        drop(queue);
        queue = broker.bus.subscribe(subscription("a", &["#"])).await.unwrap();
    }
    let client = world.client().await;
    let options = BasicPublishOptions::default();
    let (exchange, key) = (world.name("events").as_str().into(), "x".into());
    let sent = client.channel.basic_publish(exchange, key, options, b"\xffno json", BasicProperties::default()).await;
    sent.unwrap().await.unwrap();
    let strange = next(&mut queue).await.remove(0);
    queue.settle(vec![(strange, Verdict::Dead("no event".to_owned()))]).await.unwrap();

    let letters = broker.dead_letters.list("a", 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].error.contains("delivery_limit") && letters[0].last_failed_at.is_some(), "{letters:?}");
    assert_eq!((letters[0].event().unwrap().id, letters[0].attempts), (deadly.id, 1));
    assert!(letters[1].event().is_err() && letters[1].error == "no event");
    let keys = Which::Keys(vec![letters[1].key.clone()]);
    assert_eq!(broker.dead_letters.replay("a", &keys).await.unwrap().done, 1);
    assert!(next(&mut queue).await.remove(0).event.is_err());
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_AMQP_URL"]
async fn a_look_that_is_cut_off_loses_no_letter_and_a_broker_that_is_away_is_told_of_at_once() {
    let world = World::new();
    let proxy = Proxy::to(&world.broker).await;
    let far = world.at(&proxy.url).open().await;
    let broker = world.open().await;
    let mut queue = broker.bus.subscribe(subscription("a", &["#"])).await.unwrap();
    for n in 0..30 {
        broker.bus.publish(&[event("x", &n.to_string(), 1)]).await.unwrap();
        let letter = next(&mut queue).await.remove(0);
        queue.settle(vec![(letter, Verdict::Dead("no".to_owned()))]).await.unwrap();
    }
    let before = broker.dead_letters.list("a", 100).await.unwrap();
    let looking = tokio::spawn({
        let letters = far.dead_letters.clone();
        async move { letters.list("a", 100).await }
    });
    proxy.freeze();
    tokio::task::yield_now().await;
    proxy.cut();
    let _ = looking.await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(far.dead_letters.list("a", 100).await.is_err());
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    let deadline = tokio::time::Instant::now() + crate::helpers::PATIENCE;
    while broker.dead_letters.list("a", 100).await.unwrap() != before {
        assert!(tokio::time::Instant::now() < deadline, "all letters should be there again, in their order");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
