//! What operators are told of the outbox on Redis, by the way that `souk outbox status` goes.

use std::time::{Duration, Instant};

use inventory::application::ports::ReservationRepository as _;
use inventory::bootstrap::outbox_status;
use messaging::outbox::OutboxSource as _;
use redis::cmd;

use crate::helpers::{START, order};
use crate::redis::{Prefix, add, hold};
use crate::redis_server::Server;

/// "A few": what an operator waits for without wondering.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn it_tells_what_waits_since_when_and_how_far_publishing_came() {
    let prefix = Prefix::new();
    let status = outbox_status(&prefix.url()).unwrap();
    let empty = status.status().await.unwrap();
    assert_eq!((empty.depth, empty.oldest, empty.published_to), (0, None, None));
    let keys: Vec<String> = cmd("KEYS").arg(prefix.key("*")).query(&mut prefix.connection()).unwrap();
    assert_eq!(keys, [""; 0], "looking makes nothing");

    let store = prefix.open();
    add(&store, "A", 10).await;
    store.reservations.apply(order(1), hold(&[("A", 3)]), START).await.unwrap();
    let pending = store.outbox.pending(10).await.unwrap();
    assert_eq!(pending.len(), 2);
    let told = status.status().await.unwrap();
    let oldest = told.oldest.unwrap();
    assert_eq!((told.depth, told.published_to, oldest.position), (2, None, pending[0].0));
    assert_eq!((oldest.event_id, oldest.event_type.as_str()), (pending[0].1.id, "product.created"));
    assert_eq!((oldest.subject.as_str(), oldest.time), ("A", START), "to the millisecond");

    store.outbox.mark_published(vec![pending[0].0]).await.unwrap();
    let told = status.status().await.unwrap();
    assert_eq!((told.depth, told.published_to), (1, Some(pending[0].0)));
    assert_eq!(told.oldest.unwrap().event_id, pending[1].1.id);
    // A relay that works is not disturbed: what it has taken is still its own.
    store.outbox.mark_published(vec![pending[1].0]).await.unwrap();
    let told = status.status().await.unwrap();
    assert_eq!((told.depth, told.oldest, told.published_to), (0, None, Some(pending[1].0)));
}

#[tokio::test]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn while_redis_is_away_it_says_so_within_seconds_and_answers_again_when_it_is_back() {
    let mut server = Server::start();
    let prefix = Prefix::on(server.url());
    add(&prefix.open(), "A", 10).await;
    let status = outbox_status(&prefix.url()).unwrap();
    assert_eq!(status.status().await.unwrap().depth, 1);
    server.kill();
    // One that was connected, and one that never was.
    for status in [&status, &outbox_status(&prefix.url()).unwrap()] {
        let began = Instant::now();
        let refused = status.status().await.unwrap_err();
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        let why = observability::logs::error_chain(&refused);
        assert!(!why.is_empty() && !why.contains("panic"), "{why}");
    }
    server.bring_back();
    let back = async {
        while status.status().await.map(|told| told.depth).ok() != Some(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::helpers::DEADLINE, back).await.expect("it must answer again");
}
