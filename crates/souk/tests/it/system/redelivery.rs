//! Every event delivered again, doubled and in another order, changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::books::{Books, kept_promises};
use super::shoppers::Shoppers;
use super::tap::Tap;
use super::world::World;

/// How long shoppers buy.
const SHOPPING: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_ENGINE"]
async fn events_delivered_twice_and_out_of_order_have_no_second_effect() {
    let world = World::start(1).await;
    let tap = Tap::open(&world).await;
    let shoppers = Shoppers::register(&world).await;
    let load = shoppers.begin("first");
    load.go_on(SHOPPING).await;
    let attempts = load.end().await;
    kept_promises(&world, &shoppers, &attempts).await;

    let books = Books::open(&world).await;
    let before = books.inboxes().await;
    assert!(before.values().map(BTreeMap::len).sum::<usize>() > 50, "there is something to get wrong");
    let emails = world.emails();
    let heard = tap.heard();
    let reversed: Vec<_> = heard.iter().rev().cloned().collect();
    let mut shuffled = heard.clone();
    // The same disorder in every run: a multiplicative generator (Lehmer) drives Fisher and Yates.
    let mut random = 48_271_usize;
    for last in (1..shuffled.len()).rev() {
        random = random * 48_271 % 0x7fff_ffff;
        shuffled.swap(last, random % (last + 1));
    }
    for round in [reversed, heard, shuffled] {
        tap.bus.publish(&round).await.unwrap();
    }

    // What is bought now comes behind all of it in every queue.
    let load = shoppers.begin("second");
    load.go_on(Duration::from_secs(1)).await;
    let more = load.end().await;
    let attempts: Vec<_> = attempts.into_iter().chain(more).collect();
    kept_promises(&world, &shoppers, &attempts).await;
    let after = books.inboxes().await;
    for (user, entries) in before {
        for (seq, event) in entries {
            assert_eq!(after[&user].get(&seq), Some(&event), "entry {seq} of {user} is as it was");
        }
    }
    let notified = after.values().flat_map(BTreeMap::values).filter(|event| *event == "notification").count();
    super::eventually("one email for each notification", Duration::from_secs(20), || async {
        let sent = world.emails();
        if sent == notified { Ok(()) } else { Err(format!("{sent} sent, {emails} of them before, {notified} owed")) }
    })
    .await;
}
