//! Sessions on Redis: several nodes, and Node servers among them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmpv::Value;
use serde_json::json as value;
use socketio::Offset;
use socketio::adapter::{Adapter as _, RedisStreams};
use socketio::recovery::{Claim, NotRecovered, Session, Sessions};

use crate::contract_recovery::{claim, session};
use crate::node::{Asked, numbered, rooms};
use crate::redis::{Member, Names, eventually, settle};

fn sessions(adapter: &RedisStreams) -> Arc<dyn Sessions> {
    adapter.sessions().unwrap()
}

fn superseded(pid: &str, epoch: u64) -> Asked {
    Asked::Superseded { namespace: "/".to_owned(), pid: pid.to_owned(), epoch }
}

/// A session of ada's on this node, after a broadcast.
async fn begun(member: &Member, pid: &str) -> Session {
    let sessions = sessions(&member.adapter);
    let before = member.node.delivered().len();
    member.adapter.broadcast("/", numbered(0));
    let start = member.node.until_delivered(before + 1).await[before].0.unwrap();
    let session = Session { start, ..session(pid, &*sessions) };
    sessions.begin("/", session.clone()).await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_session_is_claimed_at_another_node_over_redis_and_its_holder_is_told() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    settle(&[&a, &b]).await;
    let first = begun(&a, "p").await;
    b.adapter.broadcast("/", numbered(1));
    b.node.until_delivered(2).await;
    let claimed = sessions(&b.adapter).claim("/", claim("p", Some(first.start))).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 1, ..first.clone() });
    a.node.until("the holder is told", |asked| asked.contains(&superseded("p", 1))).await;
    let missed = sessions(&b.adapter).missed("/", first.rooms.clone(), claimed.from).await.unwrap();
    assert_eq!(missed.events.len(), 1);
    // What the old one still says of the session is nothing.
    sessions(&a.adapter).update("/", Session { rooms: rooms(&["stale"]), ..first.clone() });
    sessions(&a.adapter).detach("/", "p", 0);
    sessions(&a.adapter).end("/", "p", 0);
    eventually("nothing waits to be written", || a.adapter.stats().sessions == 0).await;
    let again = sessions(&b.adapter).claim("/", claim("p", None)).await.unwrap();
    assert_eq!(again.session, Session { epoch: 2, ..first });
    assert!(!a.node.asked().contains(&superseded("p", 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_holder_on_redis_that_was_not_told_is_told_when_it_writes() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    let first = begun(&a, "p").await;
    sessions(&b.adapter).claim("/", claim("p", None)).await.unwrap();
    let theirs: String = names.command(&["GET", &names.session_key("p")]);
    // As if the message to its holder were lost: in Redis another's, and nobody says so.
    let other = Session { pid: "q".to_owned(), ..first };
    sessions(&a.adapter).begin("/", other.clone()).await.unwrap();
    let _: () = names.command(&["SET", &names.session_key("q"), &theirs]);
    sessions(&a.adapter).update("/", Session { rooms: rooms(&["stale"]), ..other });
    a.node.until("told when it writes", |asked| asked.contains(&superseded("q", 1))).await;
    assert_eq!(names.command::<String>(&["GET", &names.session_key("q")]), theirs);
    eventually("it is let go", || a.adapter.stats().sessions == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn of_claims_at_once_at_many_nodes_on_redis_there_is_one_holder_at_a_time() {
    let names = Names::new();
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(names.member().await);
    }
    let first = begun(&members[0], "p").await;
    for round in 0..10 {
        let claims: Vec<_> = members
            .iter()
            .flat_map(|member| std::iter::repeat_n(member, 5))
            .map(|member| tokio::spawn(sessions(&member.adapter).claim("/", claim("p", None))))
            .collect();
        let mut epochs = Vec::new();
        for claim in claims {
            match claim.await.unwrap() {
                Ok(claimed) => epochs.push(claimed.session.epoch),
                Err(refused) => assert_eq!(refused, NotRecovered::Claimed, "round {round}"),
            }
        }
        epochs.sort_unstable();
        assert!(!epochs.is_empty());
        assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "each epoch has one holder: {epochs:?}");
        // The last holder's writes count, nobody else's.
        let last = *epochs.last().unwrap();
        for member in &members {
            for epoch in 0..=last {
                let stamp = rooms(&[&format!("{epoch}")]);
                sessions(&member.adapter).update("/", Session { rooms: stamp, epoch, ..first.clone() });
            }
        }
        eventually("the last holder writes, the others are let go", || {
            members.iter().map(|member| member.adapter.stats().sessions).sum::<u64>() == 1
        })
        .await;
        let is = |epoch| {
            let kept: String = names.command(&["GET", &names.session_key("p")]);
            let Value::Map(fields) = rmpv::decode::read_value(&mut &STANDARD.decode(kept).unwrap()[..]).unwrap() else {
                panic!("no map")
            };
            let field = |name: &str| fields.iter().find(|(key, _)| key.as_str() == Some(name)).unwrap().1.clone();
            field("rooms") == Value::Array(vec![format!("{epoch}").into()]) && field("epoch") == Value::from(epoch)
        };
        eventually("its state is there", || is(last)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn another_users_claim_leaves_a_session_on_redis_as_it_is() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    let first = begun(&a, "p").await;
    let before: String = names.command(&["GET", &names.session_key("p")]);
    for user in [None, Some("eve".to_owned())] {
        let theirs = Claim { user, ..claim("p", Some(first.start)) };
        assert_eq!(sessions(&b.adapter).claim("/", theirs).await, Err(NotRecovered::OtherUser));
    }
    assert_eq!(names.command::<String>(&["GET", &names.session_key("p")]), before);
    assert!(!a.node.asked().iter().any(|asked| matches!(asked, Asked::Superseded { .. })));
    assert!(sessions(&b.adapter).claim("/", claim("p", Some(first.start))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_session_of_a_dead_node_on_redis_is_recovered_before_any_event_and_waits_no_longer_than_it_may() {
    let names = Names::new();
    let (a, b) = (names.member().await, names.member().await);
    settle(&[&a, &b]).await;
    let own = sessions(&a.adapter);
    for pid in ["p", "q"] {
        own.begin("/", session(pid, &*own)).await.unwrap();
    }
    // As good as killed: nothing is written any more.
    drop((own, a));
    for n in 0..20 {
        b.adapter.broadcast("/", numbered(n));
    }
    b.node.until_delivered(20).await;
    let claimed = sessions(&b.adapter).claim("/", claim("p", None)).await.unwrap();
    let missed = sessions(&b.adapter).missed("/", claimed.session.rooms, claimed.from).await.unwrap();
    assert_eq!(missed.events.len(), 20);
    eventually("the other one expires", || names.life_ms("q") < 0).await;
    assert!(names.life_ms("p") > 0, "the claimed one is kept alive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_session_of_a_live_socket_that_redis_lost_is_written_again() {
    let names = Names::new();
    let a = names.member().await;
    let first = begun(&a, "p").await;
    let _: () = names.command(&["DEL", &names.session_key("p")]);
    eventually("it is back", || names.life_ms("p") > 0).await;
    let claimed = sessions(&a.adapter).claim("/", claim("p", None)).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 1, ..first });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_forgotten_script_on_redis_is_brought_again() {
    let names = Names::new();
    let a = names.member().await;
    let first = begun(&a, "p").await;
    let _: () = names.command(&["SCRIPT", "FLUSH", "SYNC"]);
    sessions(&a.adapter).update("/", Session { rooms: rooms(&["new"]), ..first });
    let claimed = sessions(&a.adapter).claim("/", claim("p", None)).await.unwrap();
    assert_eq!(claimed.session.rooms, rooms(&["new"]));
    let _: () = names.command(&["SCRIPT", "FLUSH", "SYNC"]);
    assert!(sessions(&a.adapter).missed("/", rooms(&[]), claimed.from).await.is_ok());
}

/// What a Node server leaves when a client's connection to it is lost.
fn of_node(pid: &str) -> String {
    let map = Value::Map(vec![
        ("sid".into(), "s".into()),
        ("pid".into(), pid.into()),
        ("rooms".into(), Value::Array(vec!["s".into(), "r".into()])),
        ("data".into(), Value::Map(vec![("n".into(), 1.into())])),
    ]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &map).unwrap();
    STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_node_servers_session_on_redis_is_for_clients_without_user_and_needs_an_offset() {
    let names = Names::new();
    let a = names.member().await;
    a.adapter.broadcast("/", numbered(1));
    let offset = a.node.until_delivered(1).await[0].0.unwrap();
    let _: () = names.command(&["SET", &names.session_key("p"), &of_node("p"), "PX", "60000"]);
    let nobody = |offset: Option<Offset>| Claim { user: None, ..claim("p", offset) };
    assert_eq!(sessions(&a.adapter).claim("/", claim("p", Some(offset))).await, Err(NotRecovered::OtherUser));
    assert_eq!(sessions(&a.adapter).claim("/", nobody(None)).await, Err(NotRecovered::InvalidOffset));
    let claimed = sessions(&a.adapter).claim("/", nobody(Some(offset))).await.unwrap();
    let expected = Session {
        pid: "p".to_owned(),
        sid: "s".to_owned(),
        rooms: rooms(&["s", "r"]),
        data: value!({"n": 1}),
        user: None,
        start: offset,
        epoch: 1,
    };
    assert_eq!(claimed.session, expected);
    // From now on it is this adapter's.
    sessions(&a.adapter).update("/", Session { rooms: rooms(&["s"]), ..expected });
    let again = sessions(&a.adapter).claim("/", nobody(None)).await.unwrap();
    assert_eq!((again.session.epoch, again.session.rooms), (2, rooms(&["s"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_session_on_redis_that_a_node_server_wrote_over_is_not_this_nodes_any_more() {
    let names = Names::new();
    let a = names.member().await;
    let first = begun(&a, "p").await;
    let _: () = names.command(&["SET", &names.session_key("p"), &of_node("p"), "PX", "60000"]);
    sessions(&a.adapter).update("/", first);
    a.node.until("told", |asked| asked.contains(&superseded("p", 1))).await;
    assert_eq!(names.command::<String>(&["GET", &names.session_key("p")]), of_node("p"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn an_offset_within_the_stream_on_redis_that_is_no_entrys_is_refused() {
    let names = Names::new();
    let a = names.member().await;
    let first = begun(&a, "p").await;
    for n in 1..10 {
        a.adapter.broadcast("/", numbered(n));
    }
    let last = a.node.until_delivered(10).await[9].0.unwrap();
    let between = Offset { sequence: first.start.sequence + 1_000_000, ..first.start };
    assert!(last > between || last.time_ms == between.time_ms);
    let refused = sessions(&a.adapter).claim("/", claim("p", Some(between))).await;
    assert_eq!(refused, Err(NotRecovered::InvalidOffset));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs SOUK_TEST_REDIS_URL"]
async fn a_long_absence_is_read_from_redis_in_pages() {
    let names = Names::new();
    let a = names.member_of(names.builder().max_len(100_000)).await;
    let first = begun(&a, "p").await;
    const SENT: usize = 3210;
    for n in 0..SENT {
        a.adapter.broadcast("/", numbered(n));
    }
    let delivered = a.node.until_delivered(1 + SENT).await;
    let missed = sessions(&a.adapter).missed("/", first.rooms, first.start).await.unwrap();
    let of_missed = missed.events.iter().map(|(offset, payload)| (Some(*offset), payload.json().to_owned()));
    assert!(of_missed.eq(delivered[1..].iter().cloned()));
    assert_eq!(Some(missed.up_to), delivered[SENT].0);
}
