//! A Redis that goes away, comes back, and may have forgotten. Needs the server's program.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cut_proxy::CutProxy;
use socketio::adapter::{Adapter as _, AdapterError, RedisStreams};
use socketio::recovery::{NotRecovered, Session};

use crate::contract::number_of;
use crate::contract_recovery::{claim, session};
use crate::node::{Asked, DEADLINE, json, numbered, rooms};
use crate::redis::{Member, Names, eventually, settle};
use crate::redis_server::Server;

/// What "at once" may take on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Broadcasts numbers from a thread of its own, one every millisecond, until it is told to stop; gives how many.
struct Ticking {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<usize>,
}

impl Ticking {
    fn begin(adapter: &RedisStreams, first: usize) -> Self {
        let adapter = adapter.clone();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for n in 0.. {
                if stopped.recv_timeout(Duration::from_millis(1)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return n;
                }
                let begun = Instant::now();
                adapter.broadcast("/", numbered(first + n));
                assert!(begun.elapsed() < AT_ONCE, "a broadcast must not wait for Redis");
            }
            unreachable!("it counts on")
        });
        Self { stop, thread }
    }

    fn end(self) -> usize {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

const OF_B: usize = 1_000_000;

/// Both nodes broadcast while something happens; then each must have delivered all of both, each once, in one order.
async fn nothing_is_lost_or_doubled(names: &Names, url: &str, happening: impl AsyncFnOnce()) -> [Member; 2] {
    let builder = || names.builder_at(url).max_len(1_000_000);
    let members = [names.member_of(builder()).await, names.member_of(builder()).await];
    let [a, b] = &members;
    settle(&[a, b]).await;
    let (of_a, of_b) = (Ticking::begin(&a.adapter, 0), Ticking::begin(&b.adapter, OF_B));
    a.node.until_delivered(100).await;
    happening().await;
    let before = a.node.delivered().len();
    a.node.until_delivered(before + 100).await;
    let (of_a, of_b) = (of_a.end(), of_b.end());
    let here = a.node.until_delivered(of_a + of_b).await;
    let there = b.node.until_delivered(of_a + of_b).await;
    eventually("nothing waits", || a.adapter.stats().queued + b.adapter.stats().queued == 0).await;
    let numbers: Vec<usize> = here.iter().map(|(_, text)| number_of(text)).collect();
    let own = |of_b| numbers.iter().copied().filter(move |&n| (n >= OF_B) == of_b);
    assert!(own(false).eq(0..of_a), "each of a's once and in order");
    assert!(own(true).eq(OF_B..OF_B + of_b), "each of b's once and in order");
    assert!(here == there, "both in the same order at the same offsets");
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_is_killed_under_broadcasts_loses_and_doubles_nothing() {
    let mut server = Server::start();
    let names = Names::on(server.url());
    let url = server.url();
    let [a, _] = nothing_is_lost_or_doubled(&names, &url, async || {
        for _ in 0..3 {
            server.kill();
            tokio::time::sleep(Duration::from_millis(400)).await;
            server.bring_back();
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    })
    .await;
    let stats = a.adapter.stats();
    assert!(stats.connection_failures > 0, "{stats:?}");
    assert_eq!((stats.dropped, stats.missed, stats.store_resets, stats.malformed), (0, 0, 0, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_freezes_under_broadcasts_loses_and_doubles_nothing() {
    let server = Server::start();
    let names = Names::on(server.url());
    let url = server.url();
    // Longer than an answer is waited for: what was sent is done once it thaws, and must not be sent again.
    let [a, b] = nothing_is_lost_or_doubled(&names, &url, async || {
        server.freeze();
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.thaw();
    })
    .await;
    let found = a.adapter.stats().found_published + b.adapter.stats().found_published;
    assert!(found > 0, "this is a test only if something was in doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_network_to_redis_that_breaks_under_broadcasts_loses_and_doubles_nothing() {
    let server = Server::start();
    let names = Names::on(server.url());
    let mut proxy = CutProxy::before(&server.url()).await.unwrap();
    let url = proxy.url(&server.url());
    nothing_is_lost_or_doubled(&names, &url, async || {
        for round in 0..20_u64 {
            proxy.cut().await.unwrap();
            proxy.restore().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20 + 7 * round)).await;
        }
        proxy.swallow();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        proxy.restore().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_node_may_start_before_its_redis() {
    let mut server = Server::not_started();
    let names = Names::on(server.url());
    let begun = Instant::now();
    let member = Member::start(names.builder());
    let sessions = member.adapter.sessions().unwrap();
    for n in 0..100 {
        member.adapter.broadcast("/", numbered(n));
    }
    let first = session("p", &*sessions);
    let mut written = sessions.begin("/", first.clone());
    assert!(begun.elapsed() < AT_ONCE, "nothing may wait for Redis");
    let failed = tokio::time::timeout(DEADLINE, &mut written).await.unwrap();
    assert!(matches!(failed, Err(AdapterError::Unavailable(_))), "{failed:?}");
    let refused = sessions.claim("/", claim("p", None)).await;
    assert!(matches!(refused, Err(NotRecovered::Store(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it must fail soon: {:?}", begun.elapsed());
    sessions.update("/", Session { rooms: rooms(&["later"]), ..first });
    assert_eq!(member.node.delivered(), []);
    server.bring_back();
    let delivered = member.node.until_delivered(100).await;
    assert!(delivered.iter().map(|(_, text)| number_of(text)).eq(0..100));
    // The session was written all the same, as it is now.
    eventually("the session is there", || names.life_ms("p") > 0).await;
    let claimed = sessions.claim("/", claim("p", None)).await.unwrap();
    assert_eq!(claimed.session.rooms, rooms(&["later"]));
    // It began before the node read, so it missed what was sent then and nothing from before.
    let missed = sessions.missed("/", rooms(&[]), claimed.from).await.unwrap();
    assert_eq!(missed.events.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_redis_that_forgot_everything_is_noticed_and_used_on() {
    let mut server = Server::start();
    let names = Names::on(server.url());
    let (a, b) = (names.member().await, names.member().await);
    settle(&[&a, &b]).await;
    let sessions = a.adapter.sessions().unwrap();
    sessions.begin("/", session("p", &*sessions)).await.unwrap();
    server.kill_and_forget();
    server.bring_back();
    eventually("both notice", || [&a, &b].iter().all(|member| member.adapter.stats().store_resets == 1)).await;
    a.adapter.broadcast("/", numbered(1));
    for member in [&a, &b] {
        member.node.until_delivered(1).await;
    }
    // A session whose socket lives is written anew.
    eventually("the session is back", || names.life_ms("p") > 0).await;
    let refused = b.adapter.sessions().unwrap().claim("/", claim("p", None)).await;
    // What it may have missed was lost.
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn entries_trimmed_before_a_node_read_them_are_counted_and_it_goes_on() {
    let server = Server::start();
    let names = Names::on(server.url());
    let mut proxy = CutProxy::before(&server.url()).await.unwrap();
    let slow = names.member_of(names.builder_at(&proxy.url(&server.url()))).await;
    let other = names.member().await;
    settle(&[&other, &slow]).await;
    let before = slow.adapter.sessions().unwrap().position("/");
    proxy.cut().await.unwrap();
    const SENT: usize = 4000;
    for n in 0..SENT {
        other.adapter.broadcast("/", numbered(n));
        if n % 500 == 499 {
            // Not so fast that the sender would miss some too.
            other.node.until_delivered(n + 1).await;
        }
    }
    let kept = names.command::<usize>(&["XLEN", &names.stream()]);
    assert!(kept < SENT);
    proxy.restore().await.unwrap();
    let delivered = slow.node.until_delivered(kept).await;
    assert!(delivered.iter().map(|(_, text)| number_of(text)).eq(SENT - kept..SENT));
    assert_eq!(slow.adapter.stats().missed as usize, SENT - kept);
    // Nor does the node believe that it knows what came before.
    let missed = slow.adapter.sessions().unwrap().missed("/", rooms(&[]), before).await;
    assert_eq!(missed, Err(NotRecovered::Trimmed));
    let last = delivered[kept - 1].0.unwrap();
    let missed = slow.adapter.sessions().unwrap().missed("/", rooms(&[]), last).await.unwrap();
    assert_eq!((missed.events.len(), missed.up_to), (0, last));
    assert_eq!(other.adapter.stats().missed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn what_waits_for_redis_is_bounded_and_what_is_dropped_is_counted() {
    let mut server = Server::not_started();
    let names = Names::on(server.url());
    let member = Member::start(names.builder().max_queued(50, 1 << 20));
    for n in 0..80 {
        member.adapter.broadcast("/", numbered(n));
    }
    for _ in 0..60 {
        member.adapter.server_side_emit("/", json(r#"["e"]"#));
    }
    let stats = member.adapter.stats();
    assert_eq!((stats.queued, stats.dropped), (50, 30 + 10), "{stats:?}");
    server.bring_back();
    // What was taken comes, in order; what came later was refused.
    let delivered = member.node.until_delivered(50).await;
    assert!(delivered.iter().map(|(_, text)| number_of(text)).eq(0..50));
    let large = json(&format!(r#"["{}"]"#, "x".repeat(2 << 20)));
    member.adapter.broadcast("/", socketio::adapter::Broadcast { payload: large, ..numbered(0) });
    assert_eq!(member.adapter.stats().dropped, 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn server_events_wait_for_redis_and_run_once() {
    let server = Server::start();
    let names = Names::on(server.url());
    let mut proxy = CutProxy::before(&server.url()).await.unwrap();
    let (a, b) = (names.member_of(names.builder_at(&proxy.url(&server.url()))).await, names.member().await);
    proxy.cut().await.unwrap();
    // The first may be lost with the connection that nobody knew to be gone.
    let failed = a.adapter.server_count("/").await;
    assert!(matches!(failed, Err(AdapterError::Unavailable(_))), "{failed:?}");
    for n in 0..20 {
        a.adapter.server_side_emit("/", json(&format!(r#"["e",{n}]"#)));
    }
    proxy.restore().await.unwrap();
    let is_event = |asked: &&Asked| matches!(asked, Asked::ServerEvent { .. });
    let asked = b.node.until("all", |asked| asked.iter().filter(is_event).count() >= 20).await;
    let texts: BTreeSet<String> = asked.iter().map(|asked| format!("{asked:?}")).collect();
    assert!(texts.len() >= 20 && asked.iter().filter(is_event).count() == 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn closing_without_redis_takes_no_longer_than_it_may() {
    let server = Server::not_started();
    let names = Names::on(server.url());
    let member = Member::start(names.builder().close_timeout(Duration::from_millis(200)));
    member.adapter.broadcast("/", numbered(1));
    let begun = Instant::now();
    member.adapter.close().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_SERVER"]
async fn a_flush_waits_for_redis_and_fails_for_what_was_dropped() {
    let server = Server::start();
    let names = Names::on(server.url());
    let member = names.member_of(names.builder().max_queued(10, 1 << 20)).await;
    let flush = || member.adapter.flush();
    let length = || names.command::<usize>(&["XLEN", &names.stream()]);
    let before = length();
    for n in 0..5 {
        member.adapter.broadcast("/", numbered(n));
    }
    assert_eq!(tokio::time::timeout(DEADLINE, flush()).await, Ok(Ok(())));
    assert_eq!(length(), before + 5, "all of them are there by then");
    server.freeze();
    for n in 5..15 {
        member.adapter.broadcast("/", numbered(n));
    }
    let waits = flush();
    let waiting = tokio::time::timeout(Duration::from_millis(300), flush()).await;
    waiting.expect_err("nothing is stored while Redis is away");
    member.adapter.broadcast("/", numbered(15));
    assert_eq!(member.adapter.stats().dropped, 1);
    let fails = tokio::time::timeout(AT_ONCE, flush()).await;
    assert!(matches!(fails, Ok(Err(AdapterError::Unavailable(_)))), "{fails:?}");
    server.thaw();
    // It began before the loss, but can't tell from when that is.
    assert!(tokio::time::timeout(DEADLINE, waits).await.is_ok());
    eventually("nothing waits", || member.adapter.stats().queued == 0).await;
    member.adapter.broadcast("/", numbered(16));
    assert_eq!(tokio::time::timeout(DEADLINE, flush()).await, Ok(Ok(())), "what was lost is known to be");
    member.adapter.close().await;
    let ended = tokio::time::timeout(DEADLINE, flush()).await;
    assert!(matches!(ended, Ok(Err(AdapterError::Unavailable(_)))), "{ended:?}");
}
