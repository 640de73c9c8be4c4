//! The part of the adapters' contract that recovery stands on.

use std::sync::Arc;

use serde_json::json as value;
use socketio::Offset;
use socketio::adapter::{Broadcast, Target};
use socketio::recovery::{Claim, NotRecovered, Session, Sessions};

use crate::contract::{OPTIONS, World, number_of, with_attachments};
use crate::node::{Asked, numbered, rooms, to};

/// A session of ada's, from here on.
pub(crate) fn session(pid: &str, sessions: &dyn Sessions) -> Session {
    Session {
        pid: pid.to_owned(),
        sid: format!("sid-of-{pid}"),
        rooms: rooms(&[&format!("sid-of-{pid}"), "a"]),
        data: value!({"name": "ada", "n": [1, 2.5, null]}),
        user: Some("ada".to_owned()),
        start: sessions.position("/"),
        epoch: 0,
    }
}

/// Ada's claim.
pub(crate) fn claim(pid: &str, offset: Option<Offset>) -> Claim {
    Claim { pid: pid.to_owned(), offset: offset.map(|it| it.to_string()), user: Some("ada".to_owned()) }
}

async fn begun(world: &World, pid: &str) -> (Arc<dyn Sessions>, Session) {
    // A broadcast before: what came before a session is not for it.
    let before = world.node.delivered().len();
    world.adapter.broadcast("/", numbered(0));
    let offset = world.node.until_delivered(before + 1).await[before].0.unwrap();
    let sessions = world.adapter.sessions().unwrap();
    let session = Session { start: offset, ..session(pid, &*sessions) };
    sessions.begin("/", session.clone()).await.unwrap();
    (sessions, session)
}

pub(crate) async fn a_session_is_claimed_with_its_latest_state(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    for n in 0..10 {
        sessions.update("/", Session { rooms: rooms(&["sid-of-p", &format!("r{n}")]), ..first.clone() });
    }
    let latest = Session { rooms: rooms(&["sid-of-p", "b"]), data: value!([{"x": "é"}]), ..first.clone() };
    sessions.update("/", latest.clone());
    sessions.detach("/", "p", 0);
    let claimed = sessions.claim("/", claim("p", Some(first.start))).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 1, ..latest.clone() });
    assert_eq!(claimed.from, first.start);
    let superseded = Asked::Superseded { namespace: "/".to_owned(), pid: "p".to_owned(), epoch: 1 };
    world.node.until("the old holder told", |asked| asked.contains(&superseded)).await;
    // The new holder's state is claimed by the next one.
    let latest = Session { rooms: rooms(&["sid-of-p"]), ..claimed.session };
    sessions.update("/", latest.clone());
    let claimed = sessions.claim("/", claim("p", Some(first.start))).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 2, ..latest });
}

pub(crate) async fn a_claim_without_offset_goes_on_from_the_start(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    world.adapter.broadcast("/", numbered(1));
    world.node.until_delivered(2).await;
    let claimed = sessions.claim("/", claim("p", None)).await.unwrap();
    assert_eq!(claimed.from, first.start);
    let missed = sessions.missed("/", first.rooms, claimed.from).await.unwrap();
    assert_eq!(missed.events.len(), 1);
}

pub(crate) async fn missed_events_are_those_for_the_sessions_rooms_in_order(world: World) {
    let World { adapter, node, .. } = &world;
    let (sessions, first) = begun(&world, "p").await;
    let own = "sid-of-p";
    let targets = [
        (to(&[]), true),
        (to(&["a"]), true),
        (to(&["b"]), false),
        (to(&["b", own]), true),
        (Target { rooms: rooms(&["a"]), except: rooms(&[own]) }, false),
        (Target { rooms: Vec::new(), except: rooms(&["c"]) }, true),
    ];
    for (n, (target, _)) in targets.iter().enumerate() {
        adapter.broadcast("/", Broadcast { target: target.clone(), ..numbered(n + 1) });
        adapter.broadcast("/other", numbered(1000 + n));
        adapter.join("/", to(&["a"]), rooms(&["d"]));
    }
    node.until("all asked", |asked| asked.len() == 1 + 3 * targets.len()).await;
    let missed = sessions.missed("/", first.rooms, first.start).await.unwrap();
    let numbers: Vec<usize> = missed.events.iter().map(|(_, payload)| number_of(payload.json())).collect();
    let expected: Vec<usize> = (0..targets.len()).filter(|&n| targets[n].1).map(|n| n + 1).collect();
    assert_eq!(numbers, expected);
    let delivered = node.delivered();
    for (offset, payload) in &missed.events {
        assert!(
            delivered.contains(&(Some(*offset), payload.json().to_string())),
            "the offset must be the one delivered"
        );
    }
    assert!(missed.up_to >= missed.events.last().unwrap().0);
    // On from the second: what came up to it is not given again.
    let (second, _) = missed.events[1];
    let rest = sessions.missed("/", rooms(&[own, "a"]), second).await.unwrap();
    assert_eq!(rest.events, missed.events[2..]);
    let rest = sessions.missed("/", rooms(&[own, "a"]), missed.up_to).await.unwrap();
    assert_eq!((rest.events.len(), rest.up_to), (0, missed.up_to));
}

pub(crate) async fn attachments_are_missed_with_their_event(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    world.adapter.broadcast("/", Broadcast { payload: with_attachments(), target: to(&["a"]), volatile: false });
    let offset = world.node.until_delivered(2).await[1].0.unwrap();
    let missed = sessions.missed("/", first.rooms, first.start).await.unwrap();
    assert_eq!(missed.events, [(offset, with_attachments())]);
}

pub(crate) async fn volatile_broadcasts_and_those_with_acks_are_not_missed(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    world.adapter.broadcast("/", Broadcast { volatile: true, ..numbered(1) });
    let _acks = world.adapter.broadcast_with_acks("/", numbered(2), OPTIONS.heartbeat);
    world.adapter.broadcast("/", numbered(3));
    world.node.until_delivered(3).await;
    let missed = sessions.missed("/", first.rooms, first.start).await.unwrap();
    let numbers: Vec<usize> = missed.events.iter().map(|(_, payload)| number_of(payload.json())).collect();
    assert_eq!(numbers, [3]);
}

pub(crate) async fn an_unknown_session_is_not_recovered(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    let refused = sessions.claim("/", claim("q", Some(first.start))).await;
    assert_eq!(refused, Err(NotRecovered::UnknownSession));
    // Nothing comes of what is done to a session that isn't there.
    sessions.detach("/", "q", 0);
    sessions.end("/", "q", 0);
    assert_eq!(sessions.claim("/", claim("q", None)).await, Err(NotRecovered::UnknownSession));
}

pub(crate) async fn a_session_of_another_namespace_is_unknown(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    let refused = sessions.claim("/other", claim("p", Some(first.start))).await;
    assert_eq!(refused, Err(NotRecovered::UnknownSession));
    assert!(sessions.claim("/", claim("p", Some(first.start))).await.is_ok());
}

pub(crate) async fn another_users_claim_changes_nothing(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    for user in [Some("eve".to_owned()), None] {
        // A wrong offset beside it tells the stranger nothing.
        let theirs = Claim { user, offset: Some("x".to_owned()), ..claim("p", None) };
        assert_eq!(sessions.claim("/", theirs).await, Err(NotRecovered::OtherUser));
    }
    let claimed = sessions.claim("/", claim("p", Some(first.start))).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 1, ..first });
    let told = world.node.asked().iter().filter(|asked| matches!(asked, Asked::Superseded { .. })).count();
    assert!(told <= 1, "only the true claim may end the old socket");
}

pub(crate) async fn an_offset_that_was_never_given_is_refused_and_changes_nothing(world: World) {
    let before = world.adapter.sessions().unwrap().position("/");
    let (sessions, first) = begun(&world, "p").await;
    let future = Offset { time_ms: first.start.time_ms + 1_000_000, sequence: 0 };
    assert!(before < first.start);
    for offset in ["", "x", "1-", "-1", "1_0", "$", "18446744073709551616-0", &future.to_string()] {
        let theirs = Claim { offset: Some(offset.to_owned()), ..claim("p", None) };
        assert_eq!(sessions.claim("/", theirs).await, Err(NotRecovered::InvalidOffset), "{offset:?}");
    }
    assert_eq!(sessions.missed("/", rooms(&["a"]), future).await, Err(NotRecovered::InvalidOffset));
    assert_eq!(sessions.claim("/", claim("p", None)).await.unwrap().session.epoch, 1);
}

pub(crate) async fn an_offset_of_an_earlier_session_stands_for_the_start(world: World) {
    world.adapter.broadcast("/", numbered(1));
    let earlier = world.node.until_delivered(1).await[0].0.unwrap();
    world.adapter.broadcast("/", numbered(2));
    world.node.until_delivered(2).await;
    let (sessions, first) = begun(&world, "p").await;
    assert!(earlier < first.start);
    let claimed = sessions.claim("/", claim("p", Some(earlier))).await.unwrap();
    assert_eq!(claimed.from, first.start, "what came before the session is not for it");
}

pub(crate) async fn events_no_longer_kept_are_told_and_change_nothing(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    world.adapter.broadcast("/", numbered(1));
    let offset = world.node.until_delivered(2).await[1].0.unwrap();
    let mut latest = offset;
    for n in 0..3 * OPTIONS.max_events {
        world.adapter.broadcast("/", numbered(2 + n));
        if n % 100 == 99 {
            // Not so fast that its own node would miss some.
            latest = world.node.until_delivered(3 + n).await.last().unwrap().0.unwrap();
        }
    }
    for offset in [None, Some(first.start), Some(offset)] {
        assert_eq!(sessions.claim("/", claim("p", offset)).await, Err(NotRecovered::Trimmed), "{offset:?}");
    }
    assert_eq!(sessions.missed("/", rooms(&["a"]), offset).await, Err(NotRecovered::Trimmed));
    // An offset of long ago, as of another process.
    let theirs = Claim { offset: Some("5-0".to_owned()), ..claim("p", None) };
    assert_eq!(sessions.claim("/", theirs).await, Err(NotRecovered::Trimmed));
    assert_eq!(sessions.claim("/", claim("p", Some(latest))).await.unwrap().session.epoch, 1);
}

pub(crate) async fn a_detached_session_waits_and_then_expires(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    sessions.detach("/", "p", 0);
    let claimed = sessions.claim("/", claim("p", Some(first.start))).await.unwrap();
    sessions.detach("/", "p", claimed.session.epoch);
    world.time.runs_out_for("p").await;
    assert_eq!(sessions.claim("/", claim("p", Some(first.start))).await, Err(NotRecovered::UnknownSession));
}

pub(crate) async fn a_session_lives_as_long_as_its_socket(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    world.time.goes_on_for("p").await;
    sessions.detach("/", "p", 0);
    let claimed = sessions.claim("/", claim("p", None)).await.unwrap();
    assert_eq!(claimed.session, Session { epoch: 1, ..first });
    // The claim made it live on again.
    world.time.goes_on_for("p").await;
    assert_eq!(sessions.claim("/", claim("p", None)).await.unwrap().session.epoch, 2);
}

pub(crate) async fn an_ended_session_is_gone(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    sessions.update("/", first.clone());
    sessions.end("/", "p", 0);
    assert_eq!(sessions.claim("/", claim("p", Some(first.start))).await, Err(NotRecovered::UnknownSession));
}

pub(crate) async fn an_earlier_epoch_neither_writes_nor_ends_nor_detaches(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    let claimed = sessions.claim("/", claim("p", None)).await.unwrap();
    let superseded = Asked::Superseded { namespace: "/".to_owned(), pid: "p".to_owned(), epoch: 1 };
    world.node.until("the claim told", |asked| asked.contains(&superseded)).await;
    sessions.update("/", Session { rooms: rooms(&["stale"]), ..first.clone() });
    let told_again = |asked: &[Asked]| asked.iter().filter(|asked| **asked == superseded).count() == 2;
    world.node.until("the stale writer told", told_again).await;
    sessions.detach("/", "p", 0);
    sessions.end("/", "p", 0);
    world.time.goes_on_for("p").await;
    let again = sessions.claim("/", claim("p", None)).await.unwrap();
    assert_eq!(again.session, Session { epoch: 2, ..claimed.session });
}

pub(crate) async fn of_claims_at_once_each_that_succeeds_has_an_epoch_of_its_own(world: World) {
    let (sessions, first) = begun(&world, "p").await;
    let claims: Vec<_> = (0..20)
        .map(|_| {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sessions.claim("/", claim("p", None)).await })
        })
        .collect();
    let mut epochs = Vec::new();
    for claim in claims {
        match claim.await.unwrap() {
            Ok(claimed) => {
                assert_eq!(claimed.session, Session { epoch: claimed.session.epoch, ..first.clone() });
                epochs.push(claimed.session.epoch);
            }
            Err(refused) => assert_eq!(refused, NotRecovered::Claimed),
        }
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>());
    assert!(!epochs.is_empty());
}
