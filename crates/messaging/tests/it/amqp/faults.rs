//! The broker killed in the middle of the work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::Event;
use contracts::timestamp::SystemClock;
use messaging::amqp::AmqpBus;
use messaging::{EventBus, RetryPolicy, Subscription, Verdict};
use tokio::time::Instant;
use uuid::Uuid;

use super::World;
use super::broker::Broker;
use crate::helpers::{event, subscription};

const EVENTS: usize = 1_200;
const BATCH: usize = 8;
/// For everything after the last kill, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Publishes everything, each batch until it is confirmed; counts what is confirmed and what failed.
async fn publish_all(bus: Arc<dyn EventBus>, events: Vec<Event>, confirmed: Arc<AtomicUsize>) -> usize {
    let mut failures = 0;
    for batch in events.chunks(BATCH) {
        loop {
            let begun = Instant::now();
            match bus.publish(batch).await {
                Ok(()) => break,
                Err(_) => {
                    failures += 1;
                    assert!(begun.elapsed() < Duration::from_secs(7), "an outage is told in bounded time");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        confirmed.fetch_add(batch.len(), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    failures
}

/// Consumes for ever: every third event is tried again once, every hundredth is buried.
async fn consume(bus: Arc<dyn EventBus>, subscription: Subscription, done: tokio::sync::mpsc::UnboundedSender<Uuid>) {
    let mut queue = bus.subscribe(subscription).await.unwrap();
    loop {
        let batch = queue.next().await.unwrap();
        let mut ended = Vec::new();
        let mut verdicts = Vec::new();
        for delivery in batch {
            let event = delivery.event.as_ref().unwrap();
            let verdict = match event.aggregateversion {
                n if n % 100 == 0 => Verdict::Dead("on purpose".to_owned()),
                n if n % 3 == 0 && delivery.attempt == 1 => Verdict::Retry("on purpose".to_owned()),
                _ => {
                    ended.push(event.id);
                    Verdict::Ack
                }
            };
            verdicts.push((delivery, verdict));
        }
        // What could not be settled comes again.
        if queue.settle(verdicts).await.is_ok() {
            for id in ended {
                let _ = done.send(id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_RABBITMQ_SERVER"]
async fn a_broker_killed_twice_under_load_loses_nothing_that_it_confirmed() {
    let mut broker = Broker::start().await;
    let world = World { broker: broker.url(), prefix: "faults".to_owned() };
    let retry = RetryPolicy { delays: vec![Duration::from_millis(400), Duration::from_millis(800)] };
    let subscription = Subscription { retry, prefetch: 32, ..subscription("a", &["order.*"]) };
    let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        // Each instance has connections of its own, and both share the queue.
        let bus = world.bus().await;
        tokio::time::timeout(PATIENCE, bus.subscribe(subscription.clone())).await.unwrap().unwrap();
        tasks.push(tokio::spawn(consume(bus, subscription.clone(), sender.clone())));
    }
    let events: Vec<_> = (1..=EVENTS as u64).map(|n| event("order.created", &n.to_string(), n)).collect();
    let confirmed = Arc::new(AtomicUsize::new(0));
    let publishing = tokio::spawn(publish_all(world.bus().await, events.clone(), Arc::clone(&confirmed)));

    for killed_after in [EVENTS / 4, EVENTS / 2] {
        let deadline = Instant::now() + PATIENCE;
        while confirmed.load(Ordering::SeqCst) < killed_after {
            assert!(Instant::now() < deadline, "publishing should go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        broker.kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        broker.restart().await;
    }

    // A service that starts after the kills finds everything it needs.
    let declaring = AmqpBus::open(&world.url(), Arc::new(SystemClock)).unwrap();
    tokio::time::timeout(PATIENCE, declaring.declare(&subscription)).await.expect("declaring should end").unwrap();
    let failures = tokio::time::timeout(PATIENCE, publishing).await.expect("publishing should end").unwrap();
    assert!(failures >= 2, "both kills should have been felt");
    let buried = EVENTS / 100;
    let mut times: HashMap<Uuid, usize> = HashMap::new();
    while times.len() < EVENTS - buried {
        match tokio::time::timeout(PATIENCE, done.recv()).await {
            Ok(id) => *times.entry(id.unwrap()).or_default() += 1,
            Err(_) => {
                let lost = events.iter().filter(|event| !times.contains_key(&event.id));
                let lost: Vec<_> =
                    lost.map(|event| event.aggregateversion).filter(|version| version % 100 != 0).collect();
                panic!("lost: {lost:?}");
            }
        }
    }
    let mut dead = world.bus().await.subscribe(crate::helpers::subscription("a.dead", &[])).await.unwrap();
    let mut letters = std::collections::HashSet::new();
    while letters.len() < buried {
        let batch = tokio::time::timeout(PATIENCE, dead.next()).await.expect("dead letters are lost").unwrap();
        letters.extend(batch.iter().map(|letter| letter.event.as_ref().unwrap().id));
        super::ack(&mut dead, batch).await;
    }
    assert!(letters.iter().all(|id| !times.contains_key(id)));
    for task in tasks {
        task.abort();
    }
}
