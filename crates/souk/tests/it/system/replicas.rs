//! A second instance of every service beside the first: the work is shared, nothing happens twice, and one of two may die.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::books::{Books, kept_promises};
use super::eventually;
use super::shoppers::{Attempt, DEADLINE, SLACK, Shoppers};
use super::tap::Tap;
use super::world::{SERVICES, World};

/// How long shoppers buy.
const SHOPPING: Duration = Duration::from_secs(5);
/// How long what follows from events may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the other instances may take to carry on alone.
const FAILOVER: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_ENGINE"]
async fn two_instances_of_every_service_share_the_work_and_do_nothing_twice() {
    let world = World::start(2).await;
    let tap = Tap::open(&world).await;
    let shoppers = Shoppers::register(&world).await;
    let streams = live_streams(&world, &shoppers).await;
    let load = shoppers.begin("shared");
    load.go_on(SHOPPING).await;
    let attempts = load.end().await;
    for attempt in &attempts {
        assert!(attempt.succeeded(), "{attempt:?}");
    }
    kept_promises(&world, &shoppers, &attempts).await;

    // Whichever instance recorded an entry, it comes to the streams of both gateways.
    let inboxes = Books::open(&world).await.inboxes().await;
    let wanted: BTreeSet<_> = inboxes[shoppers.user_id(0)].keys().copied().collect();
    eventually("both streams hear of everything", PATIENCE, || async {
        for stream in &streams {
            let heard = stream.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if *heard != wanted {
                return Err(format!("{heard:?} of {wanted:?}"));
            }
        }
        Ok(())
    })
    .await;
    let notified = inboxes.values().flat_map(|inbox| inbox.values()).filter(|event| *event == "notification").count();
    eventually("one email for each notification", PATIENCE, || async {
        let sent = world.emails();
        if sent == notified { Ok(()) } else { Err(format!("{sent} of {notified} sent")) }
    })
    .await;
    assert_eq!(tap.out_of_order(), Vec::<String>::new());
    let mut ids: Vec<_> = tap.heard().iter().map(|event| event.id).collect();
    let published = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(published, ids.len(), "no event is published by both");
    // What notification does, it does for events.
    for instance in world.instances.iter().filter(|instance| instance.service != "notification") {
        let calls = instance.calls(&world.client).await;
        assert!(calls > 10.0, "{} on {} took {calls} calls", instance.service, instance.port);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_ENGINE"]
async fn one_of_two_instances_of_every_service_may_be_killed_under_load() {
    let mut world = World::start(2).await;
    let tap = Tap::open(&world).await;
    let shoppers = Shoppers::register(&world).await;
    let load = shoppers.begin("halved");
    load.go_on(SHOPPING).await;
    for service in SERVICES {
        world.instance(service, 0).kill();
    }
    let killed = Instant::now();
    let failover = load.recovered(killed, 30, PATIENCE).await;
    for service in SERVICES {
        world.instance(service, 0).restart();
    }
    let restarted = Instant::now();
    let client = world.client.clone();
    eventually("every instance is ready", PATIENCE, || async {
        for instance in &world.instances {
            instance.readiness(&client).await?;
        }
        Ok(())
    })
    .await;
    load.recovered(restarted, 30, PATIENCE).await;
    let attempts = load.end().await;
    let failed: Vec<&Attempt> = attempts.iter().filter(|attempt| !attempt.succeeded()).collect();
    println!("checkouts as before {failover:?} after the kill; {} of {} failed", failed.len(), attempts.len());
    for attempt in failed {
        assert!(attempt.took < DEADLINE + SLACK, "{attempt:?}");
        assert!(attempt.started < killed + FAILOVER, "the others carry on alone: {attempt:?}");
    }
    kept_promises(&world, &shoppers, &attempts).await;
    assert_eq!(tap.out_of_order(), Vec::<String>::new());
}

/// The first shopper's open stream at one gateway.
struct LiveStream {
    /// Positions of the inbox that it brought; the greeting names the one before the first.
    heard: Arc<Mutex<BTreeSet<i64>>>,
    task: JoinHandle<()>,
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One at each gateway.
async fn live_streams(world: &World, shoppers: &Shoppers) -> Vec<LiveStream> {
    let mut streams = Vec::new();
    for gateway in world.gateways() {
        let request = world.client.get(format!("{gateway}/events")).bearer_auth(shoppers.token(0));
        let mut body = request.send().await.unwrap().error_for_status().unwrap().bytes_stream();
        let heard: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut text = String::new();
            while let Some(Ok(bytes)) = body.next().await {
                text.push_str(&String::from_utf8_lossy(&bytes));
                while let Some((line, rest)) = text.split_once('\n') {
                    if let Some(id) =
                        line.strip_prefix("id:").and_then(|id| id.trim().parse().ok()).filter(|id| *id > 0)
                    {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                    }
                    text = rest.to_owned();
                }
            }
        });
        streams.push(LiveStream { heard, task });
    }
    streams
}
