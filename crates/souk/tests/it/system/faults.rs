//! `kill -9` of every part, under load, and its return five seconds later.

use std::time::{Duration, Instant};

use super::books::Books;
use super::engines::Kind;
use super::eventually;
use super::shoppers::{Attempt, DEADLINE, SLACK, Shoppers};
use super::world::World;

/// Before the kill.
const BEFORE: Duration = Duration::from_secs(3);
/// Between the kill and the return.
const AWAY: Duration = Duration::from_secs(5);
/// From the return until everything works again.
const BACK: Duration = Duration::from_secs(10);
/// How much longer shoppers buy, to see that it does.
const AFTER: Duration = Duration::from_secs(4);
/// How long what was begun may take to come to its end, with nobody's help.
const SETTLE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Part {
    Service(&'static str),
    Engine(Kind),
}

/// What shoppers notice while the part is away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Checkouts go on as ever.
    None,
    /// Some are refused, honestly.
    Refusals,
}

async fn survives(part: Part, effect: Effect) {
    let mut world = World::start(1).await;
    let shoppers = Shoppers::register(&world).await;
    let load = shoppers.begin("checkout");
    load.go_on(BEFORE).await;
    match part {
        Part::Service(name) => world.instance(name, 0).kill(),
        Part::Engine(kind) => world.engine(kind).kill(),
    }
    let killed = Instant::now();
    load.go_on(AWAY).await;
    match part {
        Part::Service(name) => world.instance(name, 0).restart(),
        Part::Engine(kind) => {
            world.engine(kind).restart();
            // Its own start is not Souk's time.
            world.engine(kind).ready().await;
        }
    }
    let returned = Instant::now();
    let client = world.client.clone();
    eventually("every service is ready again", BACK, || async {
        for instance in &world.instances {
            instance.readiness(&client).await?;
        }
        Ok(())
    })
    .await;
    let ready = returned.elapsed();
    load.go_on((BACK + AFTER).saturating_sub(ready)).await;
    let attempts = load.end().await;

    report(&attempts, killed, returned, ready);
    for attempt in &attempts {
        answered_honestly(attempt, part);
    }
    let early: Vec<_> = attempts.iter().filter(|attempt| attempt.started < killed).collect();
    assert!(early.iter().filter(|attempt| succeeded(attempt)).count() * 2 > early.len(), "nothing was sold before");
    let late: Vec<_> = attempts.iter().filter(|attempt| attempt.started > returned + BACK).collect();
    assert!(late.len() > 20, "shoppers went on");
    for attempt in late {
        assert!(succeeded(attempt), "{BACK:?} after the return: {attempt:?}");
    }
    if effect == Effect::None {
        for attempt in &attempts {
            assert!(succeeded(attempt), "this part is not in the way of a checkout: {attempt:?}");
        }
    }

    // One key, one order, whoever asks again and whatever was promised holds.
    let verdicts = shoppers.insist(&attempts).await;
    let mut books = Books::open(&world).await;
    let started = Instant::now();
    while let Err(owed) = books.owed().await {
        assert!(started.elapsed() < SETTLE, "still owed after {SETTLE:?}: {owed}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    println!("nothing is owed {:?} after the end of the load", started.elapsed());
    let (orders, by_key) = (books.orders().await, books.orders_by_key().await);
    assert_eq!(by_key.len(), verdicts.len(), "every checkout made one order");
    for (key, verdict) in &verdicts {
        let id = verdict.order_id().unwrap();
        assert_eq!(by_key.get(key).map(String::as_str), Some(id), "{key}");
        let wanted: &[_] = match verdict.status {
            201 => &["confirmed"],
            402 => &["cancelled"],
            409 => &["rejected"],
            _ => &["confirmed", "cancelled", "rejected"],
        };
        assert!(wanted.contains(&orders[id].status.as_str()), "{key} got {}: {:?}", verdict.status, orders[id]);
    }
    assert_eq!(books.disagreements().await, Vec::<String>::new());
}

/// Sold, or refused for a reason of the shop's.
fn succeeded(attempt: &Attempt) -> bool {
    attempt
        .answer
        .as_ref()
        .is_ok_and(|answer| [201, 202, 402, 409].contains(&answer.status) && answer.order_id().is_some())
}

fn answered_honestly(attempt: &Attempt, part: Part) {
    assert!(attempt.took < DEADLINE + SLACK, "it hangs past its deadline: {attempt:?}");
    match &attempt.answer {
        Ok(answer) => match answer.status {
            201 | 202 => assert!(answer.order_id().is_some(), "{attempt:?}"),
            402 | 409 => assert!(answer.is_problem, "{attempt:?}"),
            503 | 504 => {
                assert!(answer.is_problem, "{attempt:?}");
                assert!(answer.retry_after.is_some(), "no Retry-After: {attempt:?}");
            }
            _ => panic!("no honest answer: {attempt:?}"),
        },
        // Nobody but the gateway may leave its clients without an answer.
        Err(_) => assert!(matches!(part, Part::Service("gateway")), "{attempt:?}"),
    }
}

fn report(attempts: &[Attempt], killed: Instant, returned: Instant, ready: Duration) {
    for (when, from, to) in
        [("before", None, Some(killed)), ("away", Some(killed), Some(returned)), ("after", Some(returned), None)]
    {
        let within: Vec<_> = attempts
            .iter()
            .filter(|attempt| {
                from.is_none_or(|from| attempt.started >= from) && to.is_none_or(|to| attempt.started < to)
            })
            .collect();
        let mut answers = std::collections::BTreeMap::new();
        for attempt in &within {
            let answer = attempt.answer.as_ref().map_or_else(|_| "none".to_owned(), |answer| answer.status.to_string());
            *answers.entry(answer).or_insert(0) += 1;
        }
        let mut times: Vec<_> = within.iter().map(|attempt| attempt.took.as_millis()).collect();
        times.sort_unstable();
        let (middle, most) = (times.get(times.len() / 2), times.last());
        println!("{when}: {answers:?}, median {middle:?} ms, longest {most:?} ms");
    }
    let back = attempts.iter().filter(|attempt| attempt.started >= returned && succeeded(attempt));
    let back = back.map(|attempt| attempt.started + attempt.took - returned).min();
    println!("ready {ready:?}, first checkout {back:?} after the return");
}

macro_rules! killed {
    ($($test:ident: $part:expr => $effect:expr;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs SOUK_TEST_ENGINE"]
        async fn $test() {
            survives($part, $effect).await;
        }
    )* };
}

killed! {
    users_killed_under_load: Part::Service("users") => Effect::None;
    orders_killed_under_load: Part::Service("orders") => Effect::Refusals;
    inventory_killed_under_load: Part::Service("inventory") => Effect::Refusals;
    payment_killed_under_load: Part::Service("payment") => Effect::Refusals;
    notification_killed_under_load: Part::Service("notification") => Effect::None;
    gateway_killed_under_load: Part::Service("gateway") => Effect::Refusals;
    rabbitmq_killed_under_load: Part::Engine(Kind::Rabbit) => Effect::None;
    postgres_killed_under_load: Part::Engine(Kind::Postgres) => Effect::Refusals;
    redis_killed_under_load: Part::Engine(Kind::Redis) => Effect::Refusals;
    mongodb_killed_under_load: Part::Engine(Kind::Mongo) => Effect::None;
}
