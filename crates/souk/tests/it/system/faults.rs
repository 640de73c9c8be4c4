//! `kill -9` of every part, under load, and its return five seconds later.

use std::time::{Duration, Instant};

use super::books::kept_promises;
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
/// Checkouts in a row that show that it does: three seconds of shopping.
const ENOUGH: usize = 30;

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
    let recovered = load.recovered(returned, ENOUGH, 2 * BACK).await;
    let attempts = load.end().await;

    report(&attempts, killed, returned);
    println!("every service ready {ready:?}, checkouts as before {recovered:?} after the return");
    assert!(recovered < BACK, "back only after {recovered:?}");
    for attempt in &attempts {
        answered_honestly(attempt, part);
    }
    let early: Vec<_> = attempts.iter().filter(|attempt| attempt.started < killed).collect();
    assert!(early.iter().filter(|attempt| attempt.succeeded()).count() * 2 > early.len(), "nothing was sold before");
    if effect == Effect::None {
        for attempt in &attempts {
            assert!(attempt.succeeded(), "this part is not in the way of a checkout: {attempt:?}");
        }
    }

    kept_promises(&world, &shoppers, &attempts).await;
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

fn report(attempts: &[Attempt], killed: Instant, returned: Instant) {
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
