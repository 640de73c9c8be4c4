//! Several nodes on one Redis.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json as value;
use socketio::adapter::{AckEvent, Adapter as _, AdapterError, Broadcast, RedisStreams, SocketInfo, Target};
use socketio::{Offset, Payload};

use crate::contract::{number_of, with_attachments};
use crate::node::{Asked, DEADLINE, json, lock, numbered, rooms, to};
use crate::redis::{Member, Names, eventually, settle};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Broadcasts with these numbers, from a thread of their own.
fn broadcast(adapter: &RedisStreams, numbers: std::ops::Range<usize>) -> std::thread::JoinHandle<()> {
    let adapter = adapter.clone();
    std::thread::spawn(move || numbers.for_each(|n| adapter.broadcast("/", numbered(n))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn two_nodes_that_broadcast_at_once_deliver_in_one_order() {
    const EACH: usize = 5000;
    let names = Names::new();
    // Longer than all that is sent: this is not about trimming.
    let builder = || names.builder().max_len(100_000);
    let (a, b) = (names.member_of(builder()).await, names.member_of(builder()).await);
    settle(&[&a, &b]).await;
    let threads = [broadcast(&a.adapter, 0..EACH), broadcast(&b.adapter, EACH..2 * EACH)];
    let all = a.node.until_delivered(2 * EACH).await;
    let there = b.node.until_delivered(2 * EACH).await;
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(all == there, "both nodes must deliver the same at the same offsets");
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
    let numbers: Vec<usize> = all.iter().map(|(_, text)| number_of(text)).collect();
    for own in [0..EACH, EACH..2 * EACH] {
        let sent: Vec<usize> = numbers.iter().copied().filter(|n| own.contains(n)).collect();
        assert!(sent == own.collect::<Vec<_>>(), "each node's own must be whole and in order");
    }
    let first = numbers[..EACH].iter().filter(|&&n| n < EACH).count();
    assert!((1..EACH).contains(&first), "this is a test only if they were mixed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn what_one_node_asks_for_happens_on_redis_at_all_in_order() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    settle(&[&a, &b]).await;
    for n in 0..50 {
        a.adapter.join("/", to(&["x"]), rooms(&["y"]));
        a.adapter
            .broadcast("/other", Broadcast { payload: with_attachments(), target: to(&["é"]), volatile: n % 2 == 0 });
        a.adapter.disconnect("/", to(&[]), true);
        a.adapter.leave("/", Target { rooms: rooms(&["y"]), except: rooms(&["z"]) }, rooms(&["q"]));
    }
    let (here, there) = (a.node.until_asked(200).await, b.node.until_asked(200).await);
    assert_eq!(here, there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_broadcast_with_acks_over_redis_asks_the_clients_of_all_nodes() {
    let names = Names::new();
    let (a, b, c) = (names.member().await, names.member().await, names.member().await);
    *lock(&a.node.acks) = vec![json("[1]")];
    // One argument is what a Node server would understand; the others must arrive all the same.
    let binary =
        Payload::from_parts(r#"[{"_placeholder":true,"num":0}]"#.into(), vec![Bytes::from_static(b"\xff")]).unwrap();
    *lock(&b.node.acks) = vec![binary.clone(), json(r#"["two","three"]"#), json("[]")];
    let sent = Broadcast { payload: with_attachments(), target: to(&["r"]), volatile: false };
    let mut acks = a.adapter.broadcast_with_acks("/", sent.clone(), TIMEOUT);
    let (mut servers, mut clients, mut answers) = (None, Vec::new(), Vec::new());
    while servers != Some(clients.len()) || answers.len() < clients.iter().sum::<usize>() {
        match tokio::time::timeout(DEADLINE, acks.recv()).await.unwrap().unwrap() {
            AckEvent::Servers(count) => servers = Some(count),
            AckEvent::Clients(count) => clients.push(count),
            AckEvent::Ack(answer) => answers.push(answer),
        }
    }
    clients.sort_unstable();
    assert_eq!((servers, clients), (Some(3), vec![0, 1, 3]));
    for answer in [json("[1]"), binary, json(r#"["two","three"]"#), json("[]")] {
        assert!(answers.contains(&answer), "{answer:?} of {answers:?}");
    }
    for member in [&b, &c] {
        let asked = member.node.asked();
        let was_asked = asked.iter().any(|asked| {
            matches!(asked, Asked::DeliverWithAcks { broadcast, timeout, .. } if *broadcast == sent && *timeout == TIMEOUT)
        });
        assert!(was_asked, "{asked:?}");
    }
    assert!(
        !a.node.asked().iter().any(|asked| matches!(asked, Asked::Deliver { broadcast, .. } if *broadcast == sent))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn acks_over_redis_end_with_their_time() {
    let names = Names::new();
    let a = names.member().await;
    // Somebody who listens and does not answer.
    let _deaf = deaf_node(&names).await;
    let mut acks = a.adapter.broadcast_with_acks("/", numbered(1), Duration::from_millis(300));
    let mut received = Vec::new();
    let all = async {
        while let Some(event) = acks.recv().await {
            received.push(event);
        }
    };
    tokio::time::timeout(DEADLINE, all).await.unwrap();
    received.sort_by_key(|event| matches!(event, AckEvent::Clients(_)));
    assert_eq!(received, [AckEvent::Servers(2), AckEvent::Clients(0)]);
}

/// Counts as a node and answers nothing.
async fn deaf_node(names: &Names) -> redis::aio::PubSub {
    let client = redis::Client::open(names.url.as_str()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(format!("{}#/#", names.name)).await.unwrap();
    subscriber
}

fn socket(id: &str) -> SocketInfo {
    let handshake = value!({"headers": {"x": "y"}, "time": "t", "auth": {}, "issued": 1_700_000_000_000_u64});
    SocketInfo { id: id.to_owned(), handshake, rooms: rooms(&[id, "r"]), data: value!({"é": [1.5, null]}) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn sockets_of_all_nodes_on_redis_are_found() {
    let names = Names::new();
    let (a, b, c) = (names.member().await, names.member().await, names.member().await);
    for (member, ids) in [(&a, &["a1"][..]), (&b, &["b1", "b2"]), (&c, &[])] {
        *lock(&member.node.sockets) = ids.iter().map(|id| socket(id)).collect();
    }
    let target = Target { rooms: rooms(&["r"]), except: rooms(&["x"]) };
    let mut found = a.adapter.fetch("/", target.clone(), TIMEOUT).await.unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(found, ["a1", "b1", "b2"].map(socket));
    let asked = c.node.asked();
    assert!(asked.contains(&Asked::Fetch { namespace: "/".to_owned(), target }), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_on_redis_that_does_not_answer_is_told_of() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    let _deaf = deaf_node(&names).await;
    let short = Duration::from_millis(300);
    let found = a.adapter.fetch("/", to(&[]), short).await;
    assert_eq!(found, Err(AdapterError::Timeout { received: 2, expected: 3 }));
    // No handler of b answers either.
    let answers = a.adapter.server_side_emit_with_acks("/", json(r#"["e"]"#), short).await;
    assert_eq!(answers, Err(AdapterError::Timeout { received: 0, expected: 2 }));
    let asked = b.node.asked();
    assert!(asked.iter().any(|asked| matches!(asked, Asked::ServerEvent { with_reply: true, .. })), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn server_events_over_redis_run_on_the_other_nodes_and_are_answered() {
    let names = Names::new();
    let (a, b, c) = (names.member().await, names.member().await, names.member().await);
    *lock(&b.node.reply) = Some(json(r#"[{"b":1}]"#));
    *lock(&c.node.reply) = Some(with_attachments());
    let payload = json(r#"["e",1,{"x":[]}]"#);
    let mut answers = a.adapter.server_side_emit_with_acks("/", payload.clone(), TIMEOUT).await.unwrap();
    answers.sort_by_key(|answer| answer.json().len());
    assert_eq!(answers, [json(r#"[{"b":1}]"#), with_attachments()]);
    a.adapter.server_side_emit("/", payload.clone());
    for member in [&b, &c] {
        let event = |with_reply| Asked::ServerEvent { namespace: "/".to_owned(), payload: payload.clone(), with_reply };
        member.node.until("both events", |asked| asked.contains(&event(true)) && asked.contains(&event(false))).await;
    }
    assert!(!a.node.asked().iter().any(|asked| matches!(asked, Asked::ServerEvent { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn nodes_on_redis_are_counted_until_they_leave() {
    let names = Names::new();
    let (a, b, c) = (names.member().await, names.member().await, names.member().await);
    assert_eq!(a.adapter.server_count("/").await, Ok(3));
    b.adapter.close().await;
    count_becomes(&a, 2).await;
    // Dropped is as good as killed.
    drop(c);
    count_becomes(&a, 1).await;
    let ended = b.adapter.server_count("/").await;
    assert!(matches!(ended, Err(AdapterError::Unavailable(_))), "{ended:?}");
    b.adapter.broadcast("/", numbered(1));
}

async fn count_becomes(member: &Member, count: usize) {
    let wait = async {
        while member.adapter.server_count("/").await != Ok(count) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn what_was_sent_before_closing_reaches_the_others_on_redis() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    for n in 0..1000 {
        a.adapter.broadcast("/", numbered(n));
    }
    a.adapter.close().await;
    let delivered = b.node.until_delivered(1000).await;
    assert!(delivered.iter().map(|(_, text)| number_of(text)).eq(0..1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn namespaces_are_spread_over_redis_streams_and_may_open_late() {
    let names = Names::new();
    let builder = || names.builder().stream_count(7);
    let (a, b) = (names.member_of(builder()).await, names.member_of(builder()).await);
    // By the original's hash: streams 5, 4 and -1, the last of which only this adapter reads.
    for (namespace, stream) in [("/", 5), ("/chat", 4), ("/notifications", -1)] {
        b.adapter.open(namespace);
        a.adapter.open(namespace);
        // Until both read it: a new node gets nothing from before.
        a.node.forget();
        b.node.forget();
        eventually("both read the stream", || {
            a.adapter.broadcast(namespace, numbered(1));
            !b.node.delivered().is_empty() && !a.node.delivered().is_empty()
        })
        .await;
        assert!(names.command::<usize>(&["XLEN", &format!("{}-{stream}", names.stream())]) > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_new_node_on_redis_gets_nothing_from_before_it_came() {
    let names = Names::new();
    let a = names.member().await;
    for n in 0..10 {
        a.adapter.broadcast("/", numbered(n));
    }
    let last = a.node.until_delivered(10).await[9].0.unwrap();
    let b = names.member().await;
    let position = b.adapter.sessions().unwrap().position("/");
    assert!(position >= last, "{position}");
    a.adapter.broadcast("/", numbered(10));
    let delivered = b.node.until_delivered(1).await;
    assert_eq!(delivered[0].1, r#"["n",10]"#);
    assert!(delivered[0].0 > Some(Offset::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_redis_adapter_that_never_started_can_be_dropped() {
    let adapter = Names::new().builder().build().unwrap();
    adapter.close().await;
    drop(Arc::new(adapter));
}
