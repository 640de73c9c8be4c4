//! Handlers that panic, servers that stop, workers that end, and what must not be left of anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use socketio::{
    AckError, ConnectError, DisconnectReason, Namespace, Socket, SocketIo,
    handler::{Ack, Data, State},
};

use crate::raw::{Incoming, Polling, Server, Ws, until, within};

/// Lives as long as the socket it was given to.
struct Alive(Arc<AtomicU32>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Default)]
struct Seen {
    alive: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
}

fn fail(when: &str) {
    assert!(when.is_empty(), "{when}");
}

fn server(seen: &Seen) -> Server {
    let namespace = Namespace::new("/")
        .on_connect(|socket: Socket, State(seen): State<Seen>| async move {
            seen.alive.fetch_add(1, Ordering::Relaxed);
            socket.insert_extension(Alive(seen.alive.clone()));
        })
        .on("panic now", || async { fail("at once") })
        .on("panic before", |Data(_): Data<Value>| -> std::future::Ready<()> { panic!("before there is a future") })
        .on("panic later", || async {
            tokio::task::yield_now().await;
            fail("later");
        })
        .on("echo", |Data(value): Data<Value>, ack: Ack| async move { ack.send(&value) })
        .on("no ack", |ack: Ack| async move { drop(ack) })
        .on_disconnect(|State(seen): State<Seen>| -> std::future::Ready<()> {
            seen.ended.fetch_add(1, Ordering::Relaxed);
            panic!("at the end")
        });
    let refusing = Namespace::new("/panics").middleware(|| -> std::future::Ready<Result<(), ConnectError>> {
        panic!("in a middleware");
    });
    let ruled = Namespace::dynamic(|name| {
        assert!(!name.contains("bad"), "in a rule");
        false
    });
    let io = SocketIo::builder().state(seen.clone()).namespace(namespace).namespace(refusing).namespace(ruled);
    Server::start(io.build(), 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_its_event_and_nothing_else() {
    let server = server(&Seen::default());
    let mut ws = Ws::connect(&server).await;
    let polling = Polling::connect(&server).await;
    for event in [json!(["panic now"]), json!(["panic before", 1]), json!(["panic later"])] {
        ws.emit(&event).await;
        polling.post(format!("42{event}")).await;
        assert_eq!(ws.ask(1, &json!(["echo", 7])).await, json!([7]));
    }
    ws.send("40/panics,").await;
    assert_eq!(ws.text().await, r#"44/panics,{"message":"Internal server error"}"#);
    ws.send("40/bad,").await;
    assert_eq!(ws.text().await, r#"44/bad,{"message":"Invalid namespace"}"#);
    // It may try again.
    ws.send("40/panics,").await;
    assert_eq!(ws.text().await, r#"44/panics,{"message":"Internal server error"}"#);
    polling.post("421[\"echo\",8]").await;
    assert_eq!(polling.poll().await, ["431[8]"]);
    server.until("all panics counted", |stats| stats.panics == 9).await;
    ws.cut();
    polling.post("1").await;
    // The panics at the end are in the midst of the workers' own work.
    server.until("those at the end too", |stats| stats.panics == 11 && stats.sockets == 0).await;
    for _ in 0..4 {
        let mut ws = Ws::connect(&server).await;
        server.io.of("/").unwrap().emit("still there", &()).unwrap();
        assert_eq!(ws.event().await, json!(["still there"]));
    }
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_is_dropped_is_never_sent_and_one_that_never_comes_is_not_waited_for() {
    let namespace = Namespace::new("/").on("no ack", |ack: Ack| async move { drop(ack) }).on(
        "ask me",
        |socket: Socket, ack: Ack| async move {
            let answer = socket.emit_with_ack::<_, Value>("question", &(), Duration::from_millis(50)).await;
            let word = match answer {
                Err(AckError::Timeout) => "timeout",
                Err(AckError::Disconnected) => "gone",
                Err(_) => "error",
                Ok(_) => "answer",
            };
            ack.send(word)
        },
    );
    let server = Server::start(SocketIo::builder().namespace(namespace).build(), 2);
    let mut ws = Ws::connect(&server).await;
    ws.send(r#"425["no ack"]"#).await;
    ws.send(r#"426["ask me"]"#).await;
    assert_eq!(ws.text().await, r#"420["question"]"#);
    assert_eq!(ws.text().await, r#"436["timeout"]"#);
    // Too late, and never asked for.
    ws.send("430[]").await;
    ws.send("4377[]").await;
    assert_eq!(ws.ask(7, &json!(["ask me"])).await, json!(["timeout"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_socket_outlives_it() {
    let seen = Seen::default();
    let server = server(&seen);
    for round in 0..20 {
        let ws = Ws::connect(&server).await;
        let polling = Polling::connect(&server).await;
        let (mut moved, _) = {
            let client = Polling::connect(&server).await;
            server.io.of("/").unwrap().emit("x", &()).unwrap();
            client.upgrade().await
        };
        moved.ask(1, &json!(["echo", 1])).await;
        match round % 3 {
            0 => {
                ws.cut();
                moved.cut();
                polling.post("1").await;
            }
            1 => server.io.of("/").unwrap().disconnect_sockets(true),
            _ => {
                let mut ws = ws;
                ws.send("41").await;
                moved.send("41").await;
                polling.post("41").await;
                server.until("they left", |stats| stats.sockets == 0).await;
                polling.post("1").await;
                moved.cut();
            }
        }
        server.until_empty().await;
    }
    until("every value of an ended socket dropped", || (seen.alive.load(Ordering::Relaxed) == 0).then_some(())).await;
    assert_eq!(seen.ended.load(Ordering::Relaxed), 60);
    let stats = server.io.stats();
    assert_eq!((stats.opened, stats.closed), (60, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_server_tells_its_clients_and_takes_no_new_ones() {
    let (tell, told) = std::sync::mpsc::channel();
    let namespace = Namespace::new("/").on_disconnect(move |reason: DisconnectReason| {
        tell.send(reason).unwrap();
        async {}
    });
    let server = Server::start(SocketIo::builder().namespace(namespace).build(), 2);
    let mut ws = Ws::connect(&server).await;
    let waiting = Polling::connect(&server).await;
    let away = Polling::connect(&server).await;
    let poll = tokio::spawn({
        let client = waiting.clone();
        async move { client.poll().await }
    });
    server.io.close().await;
    assert_eq!(ws.end().await, Incoming::Close(1001, "server shutting down".to_owned()));
    assert_eq!(poll.await.unwrap(), ["1"]);
    assert_eq!(away.poll().await, ["1"]);
    assert_eq!(away.try_poll().await.0, 503);
    let new = reqwest::get(server.url("transport=polling")).await.unwrap();
    assert_eq!(new.status(), 503);
    for _ in 0..3 {
        assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::ServerShuttingDown);
    }
    server.until_empty().await;
    assert!(server.stop(true).await < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_hard_ends_at_once_and_nothing_hangs() {
    let seen = Seen::default();
    let server = server(&seen);
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Ws::connect(&server).await);
    }
    let polling = Polling::connect(&server).await;
    let io = server.io.clone();
    assert!(server.stop(false).await < Duration::from_secs(5));
    for mut client in clients {
        assert!(matches!(client.end().await, Incoming::End | Incoming::Close(..)));
    }
    drop(polling);
    // No worker is left; that must not be anybody's problem.
    io.of("/").unwrap().emit("to nobody", &()).unwrap();
    assert_eq!(within("nobody", io.of("/").unwrap().fetch_sockets()).await.unwrap(), []);
    assert_eq!(within("nobody", io.of("/").unwrap().emit_with_acks("to nobody", &())).await.unwrap(), []);
    let stats = until("all forgotten", || Some(io.stats()).filter(|stats| stats.sockets == 0)).await;
    assert_eq!((stats.websocket_connections, stats.polling_connections), (0, 0));
    assert_eq!(seen.alive.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_worker_that_ends_are_closed_and_the_others_stay() {
    let io = SocketIo::builder().namespace(Namespace::new("/")).build();
    let first = Server::start(io.clone(), 1);
    let second = Server::start(io.clone(), 1);
    let lost = Polling::connect(&first).await;
    let mut kept = Ws::connect(&second).await;
    first.stop(false).await;
    until("its connection is closed", || (io.stats().polling_connections == 0).then_some(())).await;
    drop(lost);
    io.of("/").unwrap().emit("on", &()).unwrap();
    assert_eq!(kept.event().await, json!(["on"]));
    // Its place is free for another one.
    let third = Server::start(io.clone(), 1);
    let mut new = Ws::connect(&third).await;
    io.of("/").unwrap().emit("both", &()).unwrap();
    assert_eq!(new.event().await, json!(["both"]));
    assert_eq!(kept.event().await, json!(["both"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_may_ask_for_anything_from_within() {
    let namespace = Namespace::new("/")
        .on("storm", |socket: Socket, ack: Ack| async move {
            let everyone = socket.everyone();
            for n in 0..50 {
                socket.join(format!("room {n}"));
                everyone.sockets_join("all");
                everyone.emit("n", &n)?;
                socket.to("all").emit("others", &n)?;
                everyone.sockets_leave("all");
                socket.leave(format!("room {n}"));
            }
            let found = everyone.fetch_sockets().await.unwrap_or_default().len();
            ack.send(&found)
        })
        .on("all out", |socket: Socket| async move { socket.everyone().disconnect_sockets(true) })
        .on_disconnect(|socket: Socket| async move {
            socket.everyone().emit("gone", &())?;
            socket.join("after the end");
            socket.emit("to the dead", &())
        });
    let server = Arc::new(Server::start(SocketIo::builder().namespace(namespace).build(), 3));
    let clients = (0..24).map(|_| {
        let server = server.clone();
        async move {
            let mut ws = Ws::connect(&server).await;
            for id in 0..5 {
                assert!(ws.ask(id, &json!(["storm"])).await[0].as_u64().unwrap() > 0);
            }
            ws
        }
    });
    let mut clients = futures::future::join_all(clients).await;
    clients[0].emit(&json!(["all out"])).await;
    for client in &mut clients {
        assert!(matches!(client.end().await, Incoming::Close(1000, _)));
    }
    server.until_empty().await;
    let found = within("fetch", server.io.of("/").unwrap().to("after the end").fetch_sockets()).await.unwrap();
    assert_eq!(found, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_is_dropped_with_all_it_held() {
    let held = Arc::new(());
    let io = SocketIo::builder().state(held.clone()).namespace(Namespace::new("/"));
    let server = Server::start(io.build(), 2);
    let mut ws = Ws::connect(&server).await;
    // It never learns of the end.
    let _polling = Polling::connect(&server).await;
    let moved = {
        let client = Polling::connect(&server).await;
        server.io.of("/").unwrap().emit("x", &()).unwrap();
        client.upgrade().await
    };
    server.io.close().await;
    assert!(matches!(ws.end().await, Incoming::Close(1001, _)));
    drop(moved);
    server.stop(true).await;
    until("the server is dropped", || (Arc::strong_count(&held) == 1).then_some(())).await;
}
