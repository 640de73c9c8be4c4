//! The adapters' contract: each case is written once and runs against every adapter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, ready};
use serde_json::json as value;
use socketio::adapter::{AckEvent, Adapter, Broadcast, Clock, LocalAdapter, SocketInfo, Target};
use socketio::recovery::RecoveryOptions;
use socketio::{Offset, Payload};

use crate::contract_recovery::*;
use crate::node::{Asked, DEADLINE, RecordingNode, json, lock, numbered, recording, rooms, to};

/// Of these options all worlds with recovery are made: short lives, and a history that a test can outgrow.
pub(crate) const OPTIONS: RecoveryOptions = RecoveryOptions {
    max_disconnection: Duration::from_millis(1500),
    heartbeat: Duration::from_millis(500),
    max_events: 1500,
    max_bytes: 1 << 20,
};

/// An adapter of its own for each test, started, with its node. `/` and `/other` are open.
pub(crate) struct World {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) node: Arc<RecordingNode>,
    pub(crate) time: Box<dyn Time>,
}

/// How time passes for an adapter's sessions.
pub(crate) trait Time: Send + Sync {
    /// Until this session, whose socket lost its connection, has waited as long as it may.
    fn runs_out_for(&self, pid: &str) -> BoxFuture<'_, ()>;

    /// Until this session, whose socket lives, would have expired several times if nobody kept it.
    fn goes_on_for(&self, pid: &str) -> BoxFuture<'_, ()>;
}

impl World {
    pub(crate) fn new(adapter: impl Adapter, time: impl Time + 'static) -> Self {
        let node = recording();
        let adapter = Arc::new(adapter);
        adapter.start(Arc::clone(&node) as _);
        adapter.open("/");
        adapter.open("/other");
        Self { adapter, node, time: Box::new(time) }
    }
}

#[derive(Clone)]
struct ManualClock(Arc<AtomicU64>);

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ManualClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000_000)))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Time for ManualClock {
    fn runs_out_for(&self, _pid: &str) -> BoxFuture<'_, ()> {
        self.pass(OPTIONS.max_disconnection);
        ready(()).boxed()
    }

    fn goes_on_for(&self, _pid: &str) -> BoxFuture<'_, ()> {
        self.pass(10 * OPTIONS.lifetime());
        ready(()).boxed()
    }
}

fn local() -> World {
    let clock = ManualClock::new();
    World::new(LocalAdapter::with_recovery_and_clock(OPTIONS, Arc::new(clock.clone())), clock)
}

fn local_without_recovery() -> World {
    World::new(LocalAdapter::new(), ManualClock::new())
}

macro_rules! contract {
    ($($adapter:ident $attributes:tt: $world:expr => $cases:tt;)*) => {
        $(mod $adapter { contract!(@cases $attributes $world => $cases); })*
    };
    (@cases $attributes:tt $world:expr => [$($case:ident),* $(,)?]) => {
        $(contract!(@case $attributes $world => $case);)*
    };
    (@case [$($attribute:tt)*] $world:expr => $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $case() {
            super::$case($world).await;
        }
    };
}

/// Every case, for each adapter that is named.
macro_rules! every_case {
    ($($adapter:ident $attributes:tt: $world:expr;)*) => {
        contract! {
            $($adapter $attributes: $world => [
                a_broadcast_arrives_as_it_was_sent,
                attachments_arrive_where_they_were,
                offsets_grow_and_the_position_follows_them,
                a_volatile_broadcast_has_no_offset,
                what_is_asked_in_some_order_happens_in_that_order,
                of_broadcasts_from_many_threads_each_arrives_once_and_those_of_one_in_order,
                a_broadcast_with_acks_gives_every_clients_answer,
                what_was_broadcast_before_is_stored_once_it_is_flushed,
                a_node_alone_finds_its_own_sockets,
                a_node_alone_counts_one_and_has_nobody_to_run_handlers,
                it_ends_what_it_began,
                a_session_is_claimed_with_its_latest_state,
                a_claim_without_offset_goes_on_from_the_start,
                missed_events_are_those_for_the_sessions_rooms_in_order,
                attachments_are_missed_with_their_event,
                volatile_broadcasts_and_those_with_acks_are_not_missed,
                an_unknown_session_is_not_recovered,
                a_session_of_another_namespace_is_unknown,
                another_users_claim_changes_nothing,
                an_offset_that_was_never_given_is_refused_and_changes_nothing,
                an_offset_of_an_earlier_session_stands_for_the_start,
                events_no_longer_kept_are_told_and_change_nothing,
                a_detached_session_waits_and_then_expires,
                a_session_lives_as_long_as_its_socket,
                an_ended_session_is_gone,
                an_earlier_epoch_neither_writes_nor_ends_nor_detaches,
                of_claims_at_once_each_that_succeeds_has_an_epoch_of_its_own,
            ];)*
        }
    };
}

/// Every case of an adapter without recovery.
macro_rules! every_case_without_recovery {
    ($($adapter:ident $attributes:tt: $world:expr;)*) => {
        contract! {
            $($adapter $attributes: $world => [
                without_recovery_there_are_no_offsets_and_no_sessions,
                what_is_asked_in_some_order_happens_in_that_order,
                a_broadcast_with_acks_gives_every_clients_answer,
            ];)*
        }
    };
}

every_case! {
    local []: super::local();
}

#[cfg(feature = "redis")]
every_case! {
    redis [#[ignore = "needs SOUK_TEST_REDIS_URL"]]: crate::redis::world(super::OPTIONS.max_events).await;
    redis_that_keeps_nothing_in_memory [#[ignore = "needs SOUK_TEST_REDIS_URL"]]: crate::redis::world(0).await;
}

#[cfg(feature = "redis")]
every_case_without_recovery! {
    redis_without_recovery [#[ignore = "needs SOUK_TEST_REDIS_URL"]]: crate::redis::world_without_recovery().await;
}

every_case_without_recovery! {
    local_without_recovery []: super::local_without_recovery();
}

async fn a_broadcast_arrives_as_it_was_sent(World { adapter, node, .. }: World) {
    let payload =
        json(r#"["naïve \"event\"\u0000 😀",null,true,-1.5e-7,12345678901234567890,{"":[],"b":{},"a":"\\"}]"#);
    let target = Target { rooms: rooms(&["a b", "é\"\\"]), except: rooms(&["x"]) };
    let sent = Broadcast { payload, target, volatile: false };
    adapter.broadcast("/other", sent.clone());
    let asked = node.until_asked(1).await;
    let Asked::Deliver { namespace, broadcast, offset: Some(offset) } = &asked[0] else { panic!("{asked:?}") };
    assert_eq!((namespace.as_str(), broadcast), ("/other", &sent));
    assert!(*offset > Offset::ZERO);
}

pub(crate) fn with_attachments() -> Payload {
    let text = r#"["file",{"name":"x","parts":[{"_placeholder":true,"num":0},7,{"_placeholder":true,"num":1}]}]"#;
    Payload::from_parts(text.into(), vec![Bytes::from_static(b"\x00\xff\x80"), Bytes::new()]).unwrap()
}

async fn attachments_arrive_where_they_were(World { adapter, node, .. }: World) {
    let sent = Broadcast { payload: with_attachments(), target: to(&["a"]), volatile: false };
    adapter.broadcast("/", sent.clone());
    let asked = node.until_asked(1).await;
    assert!(matches!(&asked[0], Asked::Deliver { broadcast, offset: Some(_), .. } if *broadcast == sent), "{asked:?}");
}

async fn offsets_grow_and_the_position_follows_them(World { adapter, node, .. }: World) {
    let sessions = adapter.sessions().unwrap();
    let mut last = sessions.position("/");
    for n in 1..=50 {
        adapter.broadcast("/", numbered(n));
        let delivered = node.until_delivered(n).await;
        let offset = delivered[n - 1].0.unwrap();
        assert!(offset > last, "{offset} after {last}");
        last = offset;
        assert!(sessions.position("/") <= last);
    }
    let followed = async {
        while sessions.position("/") != last {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, followed).await.unwrap();
}

async fn a_volatile_broadcast_has_no_offset(World { adapter, node, .. }: World) {
    let sent = Broadcast { volatile: true, ..numbered(1) };
    adapter.broadcast("/", sent.clone());
    let asked = node.until_asked(1).await;
    assert_eq!(asked, [Asked::Deliver { namespace: "/".to_owned(), broadcast: sent, offset: None }]);
}

async fn what_is_asked_in_some_order_happens_in_that_order(World { adapter, node, .. }: World) {
    for n in 0..20 {
        adapter.join("/", to(&["a"]), rooms(&["b", "c"]));
        adapter.broadcast("/", numbered(n));
        adapter.leave("/", to(&[]), rooms(&["b"]));
        adapter.disconnect("/", Target { rooms: rooms(&["z"]), except: rooms(&["y"]) }, n % 2 == 0);
    }
    let asked = node.until_asked(80).await;
    for (n, asked) in asked.chunks(4).enumerate() {
        let (namespace, namespaces) = ("/".to_owned(), || "/".to_owned());
        assert_eq!(asked[0], Asked::Join { namespace, target: to(&["a"]), rooms: rooms(&["b", "c"]) });
        assert!(matches!(&asked[1], Asked::Deliver { broadcast, .. } if *broadcast == numbered(n)), "{asked:?}");
        assert_eq!(asked[2], Asked::Leave { namespace: namespaces(), target: to(&[]), rooms: rooms(&["b"]) });
        let target = Target { rooms: rooms(&["z"]), except: rooms(&["y"]) };
        assert_eq!(asked[3], Asked::Disconnect { namespace: namespaces(), target, close: n % 2 == 0 });
    }
}

async fn of_broadcasts_from_many_threads_each_arrives_once_and_those_of_one_in_order(
    World { adapter, node, .. }: World,
) {
    const THREADS: usize = 4;
    const EACH: usize = 250;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let adapter = Arc::clone(&adapter);
            std::thread::spawn(move || (0..EACH).for_each(|n| adapter.broadcast("/", numbered(thread * EACH + n))))
        })
        .collect();
    let delivered = node.until_delivered(THREADS * EACH).await;
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(delivered.is_sorted_by(|a, b| a.0 < b.0), "offsets must grow");
    let numbers: Vec<usize> = delivered.iter().map(|(_, text)| number_of(text)).collect();
    for thread in 0..THREADS {
        let mine: Vec<usize> = numbers.iter().copied().filter(|n| n / EACH == thread).collect();
        assert_eq!(mine, (thread * EACH..(thread + 1) * EACH).collect::<Vec<_>>());
    }
}

/// The number of a `numbered` event.
pub(crate) fn number_of(text: &str) -> usize {
    text.trim_start_matches(r#"["n","#).trim_end_matches(']').parse().unwrap()
}

async fn a_broadcast_with_acks_gives_every_clients_answer(World { adapter, node, .. }: World) {
    *lock(&node.acks) = vec![json("[1]"), json(r#"["two",{}]"#)];
    let mut acks = adapter.broadcast_with_acks("/", numbered(7), Duration::from_secs(5));
    let mut received = Vec::new();
    while received.len() < 4 {
        received.push(tokio::time::timeout(DEADLINE, acks.recv()).await.unwrap().unwrap());
    }
    received.sort_by_key(|event| match event {
        AckEvent::Servers(_) => 0,
        AckEvent::Clients(_) => 1,
        AckEvent::Ack(payload) => 1 + payload.json().len(),
    });
    assert_eq!(received[..2], [AckEvent::Servers(1), AckEvent::Clients(2)]);
    assert_eq!(received[2..], [AckEvent::Ack(json("[1]")), AckEvent::Ack(json(r#"["two",{}]"#))]);
    let asked = node.asked();
    let [Asked::DeliverWithAcks { namespace, broadcast, timeout }] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((namespace.as_str(), broadcast), ("/", &numbered(7)));
    assert!(*timeout <= Duration::from_secs(5));
}

async fn what_was_broadcast_before_is_stored_once_it_is_flushed(World { adapter, .. }: World) {
    let flushed = async || tokio::time::timeout(DEADLINE, adapter.flush()).await.expect("it does not wait for ever");
    assert_eq!(flushed().await, Ok(()), "nothing waits");
    for n in 0..1000 {
        adapter.broadcast(if n % 2 == 0 { "/" } else { "/other" }, numbered(n));
    }
    // Nobody has to wait for the future for what it is about: it counts from the call.
    let flushing = adapter.flush();
    adapter.broadcast("/", numbered(1000));
    assert_eq!(tokio::time::timeout(DEADLINE, flushing).await, Ok(Ok(())));
    assert_eq!(flushed().await, Ok(()));
}

async fn a_node_alone_finds_its_own_sockets(World { adapter, node, .. }: World) {
    let (handshake, data) = (value!({"query": {}}), value!({"a": 1}));
    let socket = SocketInfo { id: "s1".to_owned(), handshake, rooms: rooms(&["s1", "a"]), data };
    *lock(&node.sockets) = vec![socket.clone()];
    let found = adapter.fetch("/", to(&["a"]), Duration::from_secs(5)).await;
    assert_eq!(found, Ok(vec![socket]));
    assert_eq!(node.asked(), [Asked::Fetch { namespace: "/".to_owned(), target: to(&["a"]) }]);
}

async fn a_node_alone_counts_one_and_has_nobody_to_run_handlers(World { adapter, node, .. }: World) {
    let alone = async {
        // Until it has joined the cluster it can't be counted.
        while adapter.server_count("/").await != Ok(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, alone).await.unwrap();
    adapter.server_side_emit("/", json(r#"["ping"]"#));
    let answers = adapter.server_side_emit_with_acks("/", json(r#"["ping"]"#), Duration::from_secs(5)).await;
    assert_eq!(answers, Ok(Vec::new()));
    adapter.broadcast("/", numbered(1));
    let asked = node.until_asked(1).await;
    assert!(matches!(asked[..], [Asked::Deliver { .. }]), "{asked:?}");
}

async fn it_ends_what_it_began(World { adapter, .. }: World) {
    adapter.broadcast("/", numbered(1));
    tokio::time::timeout(DEADLINE, adapter.close()).await.unwrap();
}

async fn without_recovery_there_are_no_offsets_and_no_sessions(World { adapter, node, .. }: World) {
    assert!(adapter.sessions().is_none());
    adapter.broadcast("/", numbered(1));
    assert_eq!(node.until_delivered(1).await, [(None, r#"["n",1]"#.to_owned())]);
}
