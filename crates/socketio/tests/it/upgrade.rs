//! Connections that change from polling to WebSocket, and so from one worker to another, while much is sent to them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::ThreadId,
};

use serde_json::{Value, json};
use socketio::{
    Namespace, Socket, SocketIo,
    handler::{Ack, Data, State},
};
use tokio_tungstenite::tungstenite::Message;

use crate::raw::{Incoming, Polling, Server, Ws, event_of, until};

/// On which threads things were done for a client, by the number in its query.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<HashMap<String, HashMap<&'static str, ThreadId>>>>);

impl Threads {
    fn note(&self, client: Option<String>, what: &'static str) {
        let mut known = self.0.lock().unwrap();
        known.entry(client.unwrap_or_default()).or_default().insert(what, std::thread::current().id());
    }
}

fn client_of(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("client=")).map(str::to_owned)
}

/// Notes where the first request of a client, its events and its end are handled.
fn server(threads: &Threads) -> Server {
    let first = threads.clone();
    let namespace = Namespace::new("/")
        .on("here", |socket: Socket, State(threads): State<Threads>, ack: Ack| async move {
            threads.note(socket.handshake().query("client"), "websocket");
            ack.send(&())
        })
        .on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| async move {
            socket.join(room);
            ack.send(&())
        })
        .on("leave", |socket: Socket, Data(room): Data<String>, ack: Ack| async move {
            socket.leave(room);
            ack.send(&())
        })
        .on_disconnect(|socket: Socket, State(threads): State<Threads>| async move {
            threads.note(socket.handshake().query("client"), "end");
        });
    let io = SocketIo::builder()
        .allow_request(move |request| {
            first.note(client_of(request.query_string()), "polling");
            async { Ok(()) }
        })
        .state(threads.clone())
        .namespace(namespace)
        .build();
    Server::start(io, 3)
}

/// The numbers of the events of each name, which have to go up by one each.
#[derive(Default)]
struct Streams(HashMap<String, Vec<u64>>);

impl Streams {
    fn take(&mut self, packet: &str) {
        let Some(event) = event_of(packet) else { return };
        let numbers = self.0.entry(event[0].as_str().unwrap().to_owned()).or_default();
        let number = event[1].as_u64().unwrap();
        if let Some(last) = numbers.last() {
            assert_eq!(number, last + 1, "{event} after {last}: lost, doubled or out of order");
        }
        numbers.push(number);
    }

    fn last(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.last().copied()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered_while_hundreds_of_clients_move() {
    const CLIENTS: usize = 200;
    let threads = Threads::default();
    let server = Arc::new(server(&threads));
    let running = Arc::new(AtomicBool::new(true));
    let [to_all, to_room, direct] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
    // Threads that know nothing of actix or tokio.
    let flow = |name: &'static str, count: &Arc<AtomicU64>, room: Option<&'static str>| {
        let (io, running, count) = (server.io.clone(), running.clone(), count.clone());
        std::thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                let everyone = io.of("/").unwrap();
                let target = if let Some(room) = room { everyone.to(room) } else { everyone };
                target.emit(name, &count.load(Ordering::Relaxed)).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                // Many, but not more than a busy machine gets to two hundred clients.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        })
    };
    let flows = [flow("all", &to_all, None), flow("room", &to_room, Some("room"))];
    let sids = Arc::new(Mutex::new(Vec::<String>::new()));
    let direct_flow = {
        let (io, running, sids, direct) = (server.io.clone(), running.clone(), sids.clone(), direct.clone());
        std::thread::spawn(move || {
            // Each socket has numbers of its own, one more in every round.
            while running.load(Ordering::Relaxed) {
                let targets = sids.lock().unwrap().clone();
                let round = direct.fetch_add(1, Ordering::Relaxed);
                for sid in targets {
                    io.of("/").unwrap().to(sid).emit("direct", &round).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
        })
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (server, running, sids) = (server.clone(), running.clone(), sids.clone());
            tokio::spawn(async move {
                let client = Polling::open_with(&server, &format!("&client={number}")).await;
                let mut streams = Streams::default();
                client.post("40").await;
                let mut sid = None;
                while sid.is_none() {
                    for packet in client.poll().await {
                        if let Some(json) = packet.strip_prefix("40") {
                            let joined: Value = serde_json::from_str(json).unwrap();
                            sid = joined["sid"].as_str().map(str::to_owned);
                        } else {
                            streams.take(&packet);
                        }
                    }
                }
                client.post(r#"420["join","room"]"#).await;
                sids.lock().unwrap().push(sid.unwrap());
                for _ in 0..number % 5 {
                    client.poll().await.iter().for_each(|packet| streams.take(packet));
                }
                let (mut ws, packets) = client.upgrade().await;
                for packet in &packets {
                    streams.take(packet);
                }
                ws.emit(&json!(["here"])).await;
                let mut after = 0;
                while running.load(Ordering::Relaxed) || after < 20 {
                    streams.take(&ws.text().await);
                    after += 1;
                }
                (ws, streams)
            })
        })
        .collect();
    until("all have moved", || (server.io.stats().upgraded == CLIENTS as u64).then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    running.store(false, Ordering::Relaxed);
    for flow in flows.into_iter().chain([direct_flow]) {
        flow.join().unwrap();
    }
    // So that everyone knows where its streams end, and those who still read get their fill.
    let everyone = server.io.of("/").unwrap();
    for _ in 0..30 {
        everyone.emit("all", &to_all.fetch_add(1, Ordering::Relaxed)).unwrap();
        everyone.clone().to("room").emit("room", &to_room.fetch_add(1, Ordering::Relaxed)).unwrap();
    }
    let last = [("all", &to_all), ("room", &to_room)].map(|(name, count)| (name, count.load(Ordering::Relaxed) - 1));
    let last_direct = direct.load(Ordering::Relaxed) - 1;
    for client in clients {
        let (mut ws, mut streams) = client.await.unwrap();
        while last.iter().any(|&(name, number)| streams.last(name) != Some(number)) {
            streams.take(&ws.text().await);
        }
        assert_eq!(streams.last("direct"), Some(last_direct));
        ws.cut();
    }
    server.until_empty().await;
    until("all ends noted", || {
        let known = threads.0.lock().unwrap();
        (known.values().filter(|threads| threads.contains_key("end")).count() == CLIENTS).then_some(())
    })
    .await;
    let known = threads.0.lock().unwrap();
    let moved = known.values().filter(|threads| threads["polling"] != threads["websocket"]).count();
    assert!(moved > CLIENTS / 4, "{moved} of {CLIENTS} changed their worker");
    let workers: std::collections::HashSet<_> = known.values().map(|threads| threads["websocket"]).collect();
    assert!(workers.len() > 1, "one worker had all");
    // What is to be done for a socket is done where its tables are.
    let at_home = known.values().filter(|threads| threads["end"] == threads["websocket"]).count();
    assert_eq!(at_home, CLIENTS);
}

/// A client that has moved to another worker, with the thread it came from kept busy meanwhile.
async fn moved(server: &Server, threads: &Threads, number: usize) -> Ws {
    loop {
        let client = Polling::open_with(server, &format!("&client={number}")).await;
        client.join(&Value::Null).await;
        let (mut ws, _) = client.upgrade().await;
        ws.ask(0, &json!(["here"])).await;
        let noted = threads.0.lock().unwrap()[&number.to_string()].clone();
        if noted["polling"] != noted["websocket"] {
            return ws;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_left_or_joined_by_order_of_the_server_during_a_move_are_left_or_joined() {
    let threads = Threads::default();
    let server = Arc::new(server(&threads));
    let running = Arc::new(AtomicBool::new(true));
    // Much for the old worker to do before it gets to the orders, so that the new one would be ahead.
    let noise = {
        let (io, running) = (server.io.clone(), running.clone());
        std::thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                for _ in 0..200 {
                    io.of("/").unwrap().to("noise").emit("noise", &()).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        })
    };
    for round in 0..60 {
        let client = Polling::open_with(&server, &format!("&client=r{round}")).await;
        let joined = client.join(&Value::Null).await;
        let sid = joined["sid"].as_str().unwrap().to_owned();
        let me = server.io.of("/").unwrap().to(sid);
        me.sockets_join("old");
        let (io, orders) = (server.io.clone(), me.clone());
        let ordering = std::thread::spawn(move || {
            // As long as the move takes, join and leave; in the end it is in `new` and not in `old`.
            for n in 0..200 {
                orders.sockets_join("new");
                io.of("/").unwrap().to("new").emit("in", &n).unwrap();
                orders.sockets_leave("new");
                io.of("/").unwrap().to("new").emit("out", &n).unwrap();
            }
            orders.sockets_join("new");
            orders.sockets_leave("old");
        });
        let (mut ws, mut packets) = client.upgrade().await;
        tokio::task::spawn_blocking(|| ordering.join().unwrap()).await.unwrap();
        let everyone = server.io.of("/").unwrap();
        everyone.clone().to("old").emit("out", &"old").unwrap();
        everyone.to("new").emit("end", &()).unwrap();
        while packets.last().map(String::as_str) != Some(r#"42["end"]"#) {
            packets.push(ws.text().await);
        }
        let events: Vec<_> = packets.iter().filter_map(|packet| event_of(packet)).collect();
        assert!(events.iter().all(|event| event[0] != "out"), "round {round}: heard from a room it had left");
        let heard: Vec<_> = events.iter().filter(|event| event[0] == "in").map(|event| event[1].as_u64()).collect();
        assert_eq!(heard, (0..200).map(Some).collect::<Vec<_>>(), "round {round}");
        ws.cut();
    }
    running.store(false, Ordering::Relaxed);
    noise.join().unwrap();
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_take_anothers_slot_hear_nothing_of_its_rooms() {
    let threads = Threads::default();
    let server = Arc::new(server(&threads));
    let mut staying = moved(&server, &threads, 0).await;
    staying.ask(1, &json!(["join", "secret"])).await;
    for number in 1..40 {
        // It had the room and is gone, by turns before and after it moved.
        let client = Polling::open_with(&server, &format!("&client={number}")).await;
        client.join(&Value::Null).await;
        client.post(r#"42["join","secret"]"#).await;
        if number % 2 == 0 {
            let (ws, _) = client.upgrade().await;
            ws.cut();
        } else {
            client.post("1").await;
        }
        server.until("the others are gone", |stats| stats.sockets == 1).await;
        let mut next = Ws::connect(&server).await;
        server.io.of("/").unwrap().to("secret").emit("secret", &number).unwrap();
        next.ask(1, &json!(["here"])).await;
        next.send("40/nowhere,").await;
        let text = next.text().await;
        assert!(text.starts_with("44/nowhere,"), "{text}");
        assert_eq!(staying.event().await, json!(["secret", number]));
        next.cut();
        server.until("one is left", |stats| stats.sockets == 1).await;
    }
    let left = server.io.of("/").unwrap().to("secret").fetch_sockets().await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_in_the_midst_of_its_move_leaves_nothing_behind() {
    let threads = Threads::default();
    let server = Arc::new(server(&threads));
    let rounds = (0..80).map(|number| {
        let server = server.clone();
        async move {
            let client = Polling::open_with(&server, &format!("&client={number}")).await;
            let joined = client.join(&Value::Null).await;
            client.post(r#"42["join","room"]"#).await;
            let mut ws = client.probe().await;
            ws.send_message(Message::text("5")).await;
            match number % 3 {
                0 => ws.cut(),
                1 => server.io.of("/").unwrap().to(joined["sid"].as_str().unwrap()).disconnect_sockets(true),
                _ => {
                    let _ = ws.try_send("41").await;
                    ws.cut();
                }
            }
        }
    });
    futures::future::join_all(rounds).await;
    server.until_empty().await;
    // Whoever asks the workers' tables finds nobody.
    let mut other = Ws::connect(&server).await;
    other.ask(0, &json!(["join", "room"])).await;
    let before = server.io.stats().messages_queued;
    server.io.of("/").unwrap().to("room").emit("one", &()).unwrap();
    assert_eq!(other.event().await, json!(["one"]));
    assert_eq!(server.io.stats().messages_queued, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_wait_until_the_probe_has_come() {
    let server = server(&Threads::default());
    let client = Polling::open_with(&server, "&client=0").await;
    client.join(&Value::Null).await;
    let mut ws = client.raw_websocket().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.poll().await }
    });
    server.io.of("/").unwrap().emit("first", &1).unwrap();
    assert_eq!(waiting.await.unwrap(), [r#"42["first",1]"#]);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.poll().await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "a WebSocket that says nothing makes its client poll in vain");
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    assert_eq!(waiting.await.unwrap(), ["6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_goes_away_before_it_took_over_leaves_the_polling_connection_as_it_was() {
    let threads = Threads::default();
    let io = SocketIo::builder().upgrade_timeout(std::time::Duration::from_millis(150)).namespace(Namespace::new("/"));
    let server = Server::start(io.build(), 2);
    drop(threads);
    let client = Polling::connect(&server).await;
    for way in 0..4 {
        let mut ws = client.raw_websocket().await;
        // Another at the same time is closed, as the original does it.
        if way == 0 {
            assert!(matches!(client.raw_websocket().await.end().await, Incoming::Close(..) | Incoming::End));
        }
        match way {
            0 => ws.cut(),
            1 => {
                ws.send("nonsense").await;
                assert!(matches!(ws.end().await, Incoming::Close(1007, _)));
            }
            2 => {
                ws.send_message(Message::binary(vec![1])).await;
                assert!(matches!(ws.end().await, Incoming::Close(1002, _)));
            }
            // It takes too long.
            _ => assert_eq!(ws.end().await, Incoming::End),
        }
        server.io.of("/").unwrap().emit("still", &way).unwrap();
        assert_eq!(client.event().await, json!(["still", way]));
    }
    until("the last one can go over", || Some(())).await;
    let (mut ws, _) = {
        server.io.of("/").unwrap().emit("last", &()).unwrap();
        let client = client.clone();
        client.upgrade().await
    };
    server.io.of("/").unwrap().emit("over", &()).unwrap();
    while ws.event().await != json!(["over"]) {}
    let (status, body) = client.try_poll().await;
    assert_eq!((status, body.contains("Bad request")), (400, true), "{body}");
}
