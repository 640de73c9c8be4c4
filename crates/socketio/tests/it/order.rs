//! In which order things happen.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use socketio::{
    Namespace, Socket, SocketIo,
    adapter::LocalAdapter,
    handler::{Ack, Data, State},
    recovery::RecoveryOptions,
};

use crate::raw::{Polling, Server, Ws, event_of, within};

#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

fn server_with(recovery: bool) -> Server {
    let namespace = Namespace::new("/")
        .on_connect(|socket: Socket| async move {
            socket.join("room");
            socket.emit("welcome", &())
        })
        .on("mixed", |socket: Socket, ack: Ack| async move {
            for n in 0..10 {
                socket.everyone().to("room").emit("n", &(n * 3))?;
                socket.emit("n", &(n * 3 + 1))?;
                socket.everyone().emit("n", &(n * 3 + 2))?;
            }
            ack.send(&())
        })
        .on("mixed with local", |socket: Socket, ack: Ack| async move {
            for n in 0..10 {
                socket.everyone().to("room").emit("n", &(n * 4, "stored"))?;
                socket.emit_local("n", &(n * 4 + 1, "with a string at its end"))?;
                socket.emit_local("n", &(n * 4 + 2))?;
                socket.emit("n", &(n * 4 + 3))?;
            }
            ack.send(&())
        })
        .on("in then out", |socket: Socket| async move {
            socket.everyone().sockets_join("new");
            socket.everyone().to("new").emit("heard", &1)?;
            socket.leave("new");
            socket.everyone().to("new").emit("not heard", &2)?;
            socket.emit("end", &())
        })
        .on("slow or quick", |Data(n): Data<u64>, State(counter): State<Counter>, ack: Ack| async move {
            // What stands before the first await happens in order, whatever comes after.
            let begun = counter.0.fetch_add(1, Ordering::Relaxed);
            if n % 2 == 0 {
                tokio::task::yield_now().await;
            }
            ack.send(&begun)
        })
        .on("bye", |socket: Socket| async move {
            socket.everyone().to("room").emit("last", &1)?;
            socket.emit("last", &2)?;
            socket.disconnect(false);
            socket.emit("too late", &())
        });
    let adapter = LocalAdapter::with_recovery(RecoveryOptions::default());
    let io = SocketIo::builder().state(Counter::default()).namespace(namespace);
    Server::start(if recovery { io.adapter(adapter).build() } else { io.build() }, 2)
}

fn server() -> Server {
    server_with(false)
}

fn numbers(texts: &[String]) -> Vec<u64> {
    let event = |text: &String| event_of(text).filter(|event| event[0] == "n")?[1].as_u64();
    texts.iter().filter_map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_handler_sends_to_rooms_and_to_its_socket_arrives_in_that_order() {
    let server = server();
    let expected: Vec<_> = (0..30).collect();
    for _ in 0..10 {
        let mut ws = Ws::connect(&server).await;
        assert_eq!(ws.event().await, json!(["welcome"]));
        ws.send(r#"421["mixed"]"#).await;
        let mut texts = Vec::new();
        while texts.last().map(String::as_str) != Some("431[]") {
            texts.push(ws.text().await);
        }
        assert_eq!(numbers(&texts), expected);
        ws.cut();
        server.until_empty().await;
        let polling = Polling::open(&server).await;
        polling.post("40").await;
        let mut texts = polling.poll().await;
        polling.post(r#"421["mixed"]"#).await;
        while texts.last().map(String::as_str) != Some("431[]") {
            texts.extend(polling.poll().await);
        }
        assert!(texts[0].starts_with("40{") && texts[1] == r#"42["welcome"]"#, "{texts:?}");
        assert_eq!(numbers(&texts), expected);
        polling.post("1").await;
        server.until_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_over_one_connection_alone_keeps_its_place() {
    for recovery in [false, true] {
        let server = server_with(recovery);
        let mut ws = Ws::connect(&server).await;
        ws.event().await;
        for _ in 0..10 {
            ws.send(r#"421["mixed with local"]"#).await;
            let mut texts = Vec::new();
            while texts.last().map(String::as_str) != Some("431[]") {
                texts.push(ws.text().await);
            }
            assert_eq!(numbers(&texts), (0..40).collect::<Vec<_>>(), "with recovery: {recovery}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_hears_what_comes_after_and_who_leaves_nothing_more() {
    let server = server();
    let mut ws = Ws::connect(&server).await;
    let mut other = Ws::connect(&server).await;
    ws.event().await;
    other.event().await;
    ws.emit(&json!(["in then out"])).await;
    assert_eq!(ws.event().await, json!(["heard", 1]));
    assert_eq!(ws.event().await, json!(["end"]));
    let heard = [other.event().await, other.event().await];
    assert_eq!(heard, [json!(["heard", 1]), json!(["not heard", 2])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_begin_in_the_order_of_the_events_and_quick_ones_answer_in_it() {
    const EVENTS: u64 = 200;
    let server = server();
    let mut ws = Ws::connect(&server).await;
    ws.event().await;
    for n in 0..EVENTS {
        ws.send(format!(r#"42{n}["slow or quick",{n}]"#)).await;
    }
    let (mut odd, mut all) = (Vec::new(), Vec::new());
    while all.len() < EVENTS as usize {
        let text = ws.text().await;
        let (id, begun) = text.strip_prefix("43").unwrap().split_once('[').unwrap();
        let id: u64 = id.parse().unwrap();
        assert_eq!(begun, format!("{id}]"), "begun out of order");
        all.push(id);
        if id % 2 == 1 {
            odd.push(id);
        }
    }
    assert!(odd.is_sorted(), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_comes_after_all_that_was_sent_before() {
    let server = server();
    let mut ws = Ws::connect(&server).await;
    ws.event().await;
    ws.emit(&json!(["bye"])).await;
    let texts = [ws.text().await, ws.text().await, ws.text().await];
    assert_eq!(texts, [r#"42["last",1]"#, r#"42["last",2]"#, "41"]);
    // Nothing after it, and the connection is still good.
    let answer: Value = ws.join("/", &Value::Null).await;
    assert!(answer["sid"].is_string());
    assert_eq!(ws.event().await, json!(["welcome"]));
    // From outside any worker.
    for n in 0..100 {
        server.io.of("/").unwrap().emit("n", &n).unwrap();
    }
    server.io.of("/").unwrap().disconnect_sockets(true);
    let texts = ws.rest().await;
    assert_eq!(numbers(&texts), (0..100).collect::<Vec<_>>());
    assert_eq!(texts.last().map(String::as_str), Some("41"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_thread_is_heard_in_its_own_order_by_everybody() {
    const THREADS: u64 = 4;
    const EACH: u64 = 300;
    let server = server();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut ws = Ws::connect(&server).await;
        ws.event().await;
        clients.push(ws);
    }
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let io = server.io.clone();
            std::thread::spawn(move || {
                for n in 0..EACH {
                    io.of("/").unwrap().to("room").emit("x", &(thread, n)).unwrap();
                }
            })
        })
        .collect();
    let mut orders = Vec::new();
    for mut client in clients {
        let mut next = [0; THREADS as usize];
        let mut order = Vec::new();
        for _ in 0..THREADS * EACH {
            let event = client.event().await;
            let (thread, n) = (event[1].as_u64().unwrap(), event[2].as_u64().unwrap());
            assert_eq!(n, next[thread as usize]);
            next[thread as usize] += 1;
            order.push((thread, n));
        }
        orders.push(order);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "the workers see one order");
}

/// Requests of a polling client come to whichever worker accepts their connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_handler_of_a_connection_finds_it_connected_whichever_worker_hears_of_it() {
    async fn greet(socket: Socket) {
        let connected = socket.is_connected();
        socket.emit_local("greeted", &connected).unwrap();
    }
    for adapter in [LocalAdapter::new(), LocalAdapter::with_recovery(RecoveryOptions::default())] {
        let namespace = Namespace::new("/").on_connect(greet);
        let server = Server::start(SocketIo::builder().adapter(adapter).namespace(namespace).build(), 3);
        // A connection of its own for each request: the workers take turns.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        for _ in 0..12 {
            let open = http.get(server.url("transport=polling")).send().await.unwrap().text().await.unwrap();
            let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            let url = server.url(&format!("transport=polling&sid={sid}"));
            http.post(&url).body("40").send().await.unwrap();
            let mut came = String::new();
            while !came.contains("greeted") {
                let polled = within("the greeting", http.get(&url).send()).await.unwrap();
                came += &polled.text().await.unwrap();
            }
            assert!(came.starts_with("40"), "the connect packet comes first: {came}");
            assert!(came.contains(r#"42["greeted",true"#), "{came}");
        }
    }
}
