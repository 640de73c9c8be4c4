//! What every transport relies on: a feed of an inbox, without a transport around it.

use std::time::Duration;

use gateway::live::feed::{Ended, FeedEvent, Start};
use service_kit::auth::ACCESS_TOKEN_TTL;

use crate::stream_timing::Bench;
use crate::world::user_id;

fn seqs(event: FeedEvent) -> Vec<u64> {
    match event {
        FeedEvent::Entries(entries) => entries.iter().map(|entry| entry.seq).collect(),
        FeedEvent::Ended(why) => panic!("{why:?}"),
    }
}

/// Lets everything else get on by a few steps.
async fn steps(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_at_any_moment_loses_nothing() {
    const LAST: u64 = 300;
    let bench = Bench::new();
    let mut feed = bench.feed(Start::After(0)).await;
    let (mut seen, mut given_up, mut appended) = (Vec::new(), 0, 0);
    while seen.last() != Some(&LAST) {
        if appended < LAST {
            appended += 1;
            // Of every third the hub does not tell: it must be read.
            if appended % 3 == 1 && appended < LAST {
                bench.inbox.append(&user_id().to_string(), "a", "{}");
            } else {
                bench.append();
            }
        }
        tokio::select! {
            biased;
            event = feed.next() => seen.extend(seqs(event)),
            () = steps(usize::try_from(appended % 7).unwrap()) => given_up += 1,
        }
        if appended == LAST && seen.last() != Some(&LAST) {
            seen.extend(seqs(feed.next().await));
        }
        assert_eq!(feed.position(), seen.last().copied().unwrap_or(0));
    }
    assert_eq!(seen, (1..=LAST).collect::<Vec<_>>());
    assert!(given_up > 20, "hardly ever given up: {given_up}");
}

#[tokio::test(start_paused = true)]
async fn entries_that_came_together_are_handed_out_together() {
    let bench = Bench::new();
    let mut feed = bench.feed(Start::Now).await;
    for _ in 0..10 {
        bench.append();
    }
    assert_eq!(seqs(feed.next().await), (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_carries_a_feed_past_the_end_of_the_older() {
    let bench = Bench::new();
    let mut feed = bench.feed(Start::Now).await;
    let most = ACCESS_TOKEN_TTL.saturating_sub(Duration::from_mins(1));
    tokio::time::advance(most).await;
    bench.clock.advance(most);
    feed.renew(bench.caller().await);
    let waited = tokio::time::timeout(Duration::from_mins(10), feed.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    let end = tokio::time::timeout(Duration::from_mins(10), feed.next()).await.unwrap();
    assert!(matches!(end, FeedEvent::Ended(Ended::Expired)), "{end:?}");
}
