//! A server that is emptied before it is replaced.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    pin::pin,
    time::{Duration, Instant},
};

use futures::future::{Either, join_all, select, select_all};
use serde_json::{Value, json};
use socketio::{
    DisconnectReason, Namespace, Socket, SocketIo, adapter::LocalAdapter, handler::State, recovery::RecoveryOptions,
};
use tokio::sync::mpsc;

use crate::raw::{Incoming, Polling, Server, Ws, event_of, refusal, within};

fn rate(per_second: u32) -> NonZeroU32 {
    NonZeroU32::new(per_second).unwrap()
}

/// A server whose clients come back, and the reasons for which they went.
fn server() -> (Server, mpsc::UnboundedReceiver<DisconnectReason>) {
    let (gone, reasons) = mpsc::unbounded_channel::<DisconnectReason>();
    let namespace = Namespace::new("/").on_connect(|socket: Socket| async move { socket.join("all") }).on_disconnect(
        |reason: DisconnectReason, State(gone): State<mpsc::UnboundedSender<DisconnectReason>>| async move {
            let _ = gone.send(reason);
        },
    );
    let io = SocketIo::builder()
        .adapter(LocalAdapter::with_recovery(RecoveryOptions::default()))
        .state(gone)
        // A client that takes nothing is not waited for so long.
        .ping_timeout(Duration::from_secs(1))
        .namespace(namespace)
        .build();
    (Server::start(io, 2), reasons)
}

fn going_away() -> Incoming {
    Incoming::Close(1001, "server shutting down".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_call_on_handshakes_are_refused() {
    let (server, _) = server();
    let mut before = Ws::connect(&server).await;
    let polling = Polling::connect(&server).await;
    let draining = server.io.drain(rate(1000));
    let answer = polling.http.get(server.url("transport=polling")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.json::<Value>().await.unwrap(), refusal(4, "Server shutting down"));
    tokio_tungstenite::connect_async(server.websocket_url("")).await.unwrap_err();
    // Nor are the requests of sessions that another server has.
    let stranger = polling.http.get(server.url("transport=polling&sid=begun-elsewhere")).send().await.unwrap();
    assert_eq!(stranger.status(), 503);
    assert_eq!(server.io.stats().refused_while_stopping, 3);
    // Those that are there are served until it is their turn, and may still move to a WebSocket.
    let (mut upgraded, _) = polling.upgrade().await;
    server.io.of("/").unwrap().emit("still", &(1, 2)).unwrap();
    assert_eq!(before.event().await.as_array().unwrap()[..3], [json!("still"), json!(1), json!(2)]);
    let ((), end, other) = within("all are told", async { tokio::join!(draining, before.end(), upgraded.end()) }).await;
    assert_eq!((end, other), (going_away(), going_away()));
    tokio_tungstenite::connect_async(server.websocket_url("")).await.unwrap_err();
    server.io.close().await;
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_goes_out_before_the_end() {
    let (server, _) = server();
    let mut ws = Ws::connect(&server).await;
    let polling = Polling::connect(&server).await;
    server.until("both are there", |stats| stats.sockets == 2).await;
    let poller = polling.clone();
    let told = tokio::spawn(async move {
        let mut packets = Vec::new();
        while packets.last().map(String::as_str) != Some("1") {
            packets.extend(poller.poll().await);
        }
        packets
    });
    let all = server.io.of("/").unwrap().to("all");
    for n in 0..500 {
        all.emit("n", &(n, "stored")).unwrap();
        all.clone().local().emit("n", &(n, 0)).unwrap();
    }
    within("all are told", server.io.drain(rate(1000))).await;
    let numbers = |packets: &[String]| {
        let events = packets.iter().filter_map(|packet| event_of(packet)).filter(|event| event[0] == "n");
        events.map(|event| event[1].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let wanted: Vec<_> = (0..500).flat_map(|n| [n, n]).collect();
    assert_eq!(numbers(&ws.rest().await), wanted, "over a WebSocket");
    let packets = within("the polling client is told", told).await.unwrap();
    assert_eq!(numbers(&packets), wanted, "by polling");
    assert_eq!(server.io.stats().drained, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polling_client_is_told_by_the_request_that_waits_or_the_next() {
    let (server, mut reasons) = server();
    let (waiting, busy) = (Polling::connect(&server).await, Polling::connect(&server).await);
    let poll = tokio::spawn({
        let waiting = waiting.clone();
        async move { waiting.poll().await }
    });
    let next = tokio::spawn(async move {
        // Not before it was closed.
        for _ in 0..2 {
            assert_eq!(reasons.recv().await, Some(DisconnectReason::ServerShuttingDown));
        }
        busy.poll().await
    });
    within("both are told", server.io.drain(rate(1000))).await;
    assert_eq!(within("the waiting", poll).await.unwrap(), ["1"]);
    assert_eq!(within("the other", next).await.unwrap(), ["1"]);
    assert_eq!(waiting.try_poll().await.0, 503, "it is forgotten, and may ask another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_no_more_is_not_waited_for_for_ever() {
    let (server, _) = server();
    let _silent = Polling::connect(&server).await;
    let begun = Instant::now();
    within("it is given up", server.io.drain(rate(1000))).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had its time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_end_at_the_rate_that_was_asked_for_and_in_no_order() {
    const CLIENTS: usize = 40;
    let (server, _) = server();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Ws::connect(&server).await);
    }
    let begun = Instant::now();
    let (done, mut ended) = mpsc::unbounded_channel();
    let ends = join_all(clients.iter_mut().enumerate().map(|(which, ws)| {
        let done = done.clone();
        async move {
            assert_eq!(ws.end().await, going_away());
            done.send((which, begun.elapsed())).unwrap();
        }
    }));
    within("all end", async { tokio::join!(server.io.drain(rate(40)), ends) }).await;
    drop(done);
    let mut order = Vec::new();
    while let Some((which, after)) = ended.recv().await {
        order.push(which);
        // So many at most by then; a busy machine may only be later.
        let most = after.as_secs_f64() * 40.0 + 1.0;
        assert!(order.len() as f64 <= most, "{} ended within {after:?}", order.len());
    }
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), CLIENTS);
    assert!(!order.is_sorted(), "not in the order in which they came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_drops_it_stops_it() {
    let (server, _) = server();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Ws::connect(&server).await);
    }
    {
        let mut draining = pin!(server.io.drain(rate(20)));
        let some = server.until("some are closed", |stats| stats.closed >= 2);
        tokio::select! {
            () = &mut draining => panic!("too fast"),
            _ = some => {}
        }
    }
    let mut new = Ws::connect(&server).await;
    let closed = server.io.stats().closed;
    server.io.of("/").unwrap().emit("on", &0).unwrap();
    assert_eq!(new.event().await[0], "on");
    assert!(closed < 15, "{closed} were closed");
    // What was asked for last may be done still.
    let left = server.io.stats().sockets;
    assert!(left >= 5, "{left} are left");
    // Again, from the start.
    let ends = join_all(clients.iter_mut().map(Ws::end));
    within("all end", async { tokio::join!(server.io.drain(rate(1000)), ends, new.end()) }).await;
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_clients_session_waits_for_it() {
    let (server, _) = server();
    let (mut clients, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let mut ws = Ws::open(&server).await;
        sessions.push(ws.join("/", &Value::Null).await);
        clients.push(ws);
    }
    // Dropped once the first has gone, so that it can come back to the same server.
    let which = {
        let draining = pin!(server.io.drain(rate(5)));
        match select(draining, select_all(clients.iter_mut().map(|ws| Box::pin(ws.end())))).await {
            Either::Right(((end, which, _), _)) => {
                assert_eq!(end, going_away());
                which
            }
            Either::Left(_) => panic!("too fast"),
        }
    };
    server.io.of("/").unwrap().emit("missed", &(1, 2)).unwrap();
    let mut back = Ws::open(&server).await;
    let again = back.join("/", &json!({ "pid": sessions[which]["pid"] })).await;
    assert_eq!(again["sid"], sessions[which]["sid"], "{again}");
    assert_eq!(back.event().await[0], "missed");
}
