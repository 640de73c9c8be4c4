//! Clients that take their events too slowly.

use std::time::Duration;

use serde_json::{Value, json};
use socketio::{DisconnectReason, Limits, Namespace, SocketIo, adapter::LocalAdapter, recovery::RecoveryOptions};

use crate::raw::{Polling, Server, Ws, event_of};

const MESSAGES: usize = 200;
const BYTES: usize = 4 << 20;

fn server() -> (Server, std::sync::mpsc::Receiver<DisconnectReason>) {
    let (tell, told) = std::sync::mpsc::channel();
    let namespace = Namespace::new("/").on_disconnect(move |reason: DisconnectReason| {
        tell.send(reason).unwrap();
        async {}
    });
    let limits = Limits { queued_messages: MESSAGES, queued_bytes: BYTES, ..Limits::default() };
    let io = SocketIo::builder()
        .limits(limits)
        .adapter(LocalAdapter::with_recovery(RecoveryOptions::default()))
        .namespace(namespace);
    (Server::start(io.build(), 2), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_disconnected_and_nobody_else_notices() {
    let (server, reasons) = server();
    let mut good = Ws::connect(&server).await;
    let mut stuck = Ws::open(&server).await;
    let joined = stuck.join("/", &Value::Null).await;
    let away = Polling::connect(&server).await;
    let everyone = server.io.of("/").unwrap();
    // More than all buffers on the way hold, one by one so that who reads keeps up.
    let large = "x".repeat(100_000);
    let mut sent = 0_u64;
    while server.io.stats().slow_consumers < 2 {
        assert!(sent < 3000, "nobody was disconnected");
        everyone.emit("n", &(sent, &large)).unwrap();
        assert_eq!(good.event().await[1], sent);
        sent += 1;
    }
    for _ in 0..2 {
        assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::SlowConsumer);
    }
    assert_eq!(away.poll().await, ["1"]);
    everyone.emit("n", &(sent, "")).unwrap();
    assert_eq!(good.event().await[1], sent);
    let stats = server.io.stats();
    assert_eq!((stats.sockets, stats.websocket_connections, stats.polling_connections), (1, 1, 0));
    // What it had got before is whole, and it can come back for the rest.
    let (mut last, mut offset) = (None, Value::Null);
    loop {
        match stuck.next().await {
            crate::raw::Incoming::Text(text) => {
                let event = event_of(&text).unwrap();
                let number = event[1].as_u64().unwrap();
                assert_eq!(number, last.map_or(0, |last: u64| last + 1));
                last = Some(number);
                offset = event[3].clone();
            }
            crate::raw::Incoming::Close(code, reason) => {
                assert_eq!((code, reason.as_str()), (1013, "slow consumer"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    // Not more than may wait has been missed, so that it fits.
    let mut back = Ws::open(&server).await;
    let missed = sent - last.unwrap();
    let answer = back.join("/", &json!({ "pid": joined["pid"], "offset": offset })).await;
    if missed as usize * large.len() < BYTES {
        assert_eq!(answer["sid"], joined["sid"]);
        for number in last.unwrap() + 1..=sent {
            assert_eq!(back.event().await[1], number);
        }
    } else {
        assert_eq!(answer["recovery"]["code"], "trimmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_messages_that_wait_is_bounded_too() {
    let (server, reasons) = server();
    let away = Polling::connect(&server).await;
    let everyone = server.io.of("/").unwrap();
    for n in 0..MESSAGES {
        everyone.emit("n", &n).unwrap();
    }
    // Volatile ones are left out first.
    for _ in 0..MESSAGES {
        everyone.clone().volatile().emit("v", &0).unwrap();
    }
    let stats = server.until("the volatile left out", |stats| stats.volatile_dropped == MESSAGES as u64).await;
    assert_eq!((stats.slow_consumers, stats.sockets), (0, 1));
    let mut read = 0;
    while read < MESSAGES {
        let some = away.poll().await.len();
        assert!((1..=16).contains(&some), "{some} at once");
        read += some;
    }
    assert_eq!(read, MESSAGES);
    for n in 0..=MESSAGES {
        everyone.emit("n", &n).unwrap();
    }
    assert_eq!(reasons.recv_timeout(Duration::from_secs(5)).unwrap(), DisconnectReason::SlowConsumer);
    assert_eq!(away.poll().await, ["1"]);
    server.until_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_not_read_from_while_a_worker_is_far_behind() {
    const MOST: usize = 500;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let namespace = Namespace::new("/")
        .on("block", move |ack: socketio::handler::Ack| {
            // A handler that blocks its worker.
            let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(10));
            async move { ack.send(&()) }
        })
        .on("flood", |socket: socketio::Socket| async move { socket.everyone().to("nobody").emit("x", &()) })
        .on("echo", |ack: socketio::handler::Ack| async move { ack.send(&()) });
    let limits = Limits { posted_operations: MOST, ..Limits::default() };
    let server = Server::start(SocketIo::builder().limits(limits).namespace(namespace).build(), 2);
    let mut blocking = Ws::connect(&server).await;
    blocking.send(r#"421["block"]"#).await;
    server.until("it is blocked", |stats| stats.messages_received == 2).await;
    // A client of the other worker.
    let mut flooding = loop {
        let opening = async {
            let mut ws = Ws::open(&server).await;
            ws.join("/", &Value::Null).await;
            ws
        };
        if let Ok(ws) = tokio::time::timeout(Duration::from_millis(300), opening).await {
            break ws;
        }
    };
    let polling = tokio::time::timeout(Duration::from_millis(300), Polling::open(&server)).await.ok();
    for _ in 0..2 * MOST {
        flooding.emit(&json!(["flood"])).await;
    }
    let stats = server.until("reading is put off", |stats| stats.reading_paused > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let broadcasts = server.io.stats().broadcasts;
    // What had been read in one go is done; the rest waits.
    assert!(broadcasts >= MOST as u64 && broadcasts <= stats.broadcasts + 1, "{broadcasts} after {stats:?}");
    drop(polling);
    release.send(()).unwrap();
    assert_eq!(flooding.ask(1, &json!(["echo"])).await, json!([]));
    assert_eq!(blocking.text().await, "431[]");
    assert_eq!(server.io.stats().broadcasts, 2 * MOST as u64);
}
